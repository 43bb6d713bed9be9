"""The memory layout of a cell's gates, and conversion of its biases to and from that layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel.kernels.simd.unit_groups import PANEL, Array


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Accumulators of a cell's two matmuls, for a group of 16 units: a slot has 16 numbers.

    There is one slot for each gate, but two for a gate whose input and hidden halves are not summed
    (the GRU's candidate). Each matmul fills adjacent slots, from its `begin` on; `input` and
    `hidden` list the gates of those slots, by their index in the weights.
    """

    count: int
    input: tuple[int, ...]
    hidden: tuple[int, ...]
    input_begin: int = 0
    hidden_begin: int = 0

    def bias(self, bias_ih: Array, bias_hh: Array, groups: int) -> Array:
        """Return the initial value of each slot: (groups, slots, 16)."""
        size = len(bias_ih) // len(self.input)
        total = np.zeros((self.count, groups * PANEL), np.float32)
        for slot, gate in enumerate(self.input, self.input_begin):
            total[slot, :size] += bias_ih[gate * size : (gate + 1) * size]
        for slot, gate in enumerate(self.hidden, self.hidden_begin):
            total[slot, :size] += bias_hh[gate * size : (gate + 1) * size]
        return np.ascontiguousarray(total.reshape(self.count, groups, PANEL).transpose(1, 0, 2))

    def bias_gradients(self, totals: Array, size: int) -> tuple[Array, Array]:
        """Return gradients of both biases (G * H) from the slots' sums (groups, slots, 16)."""
        by_slot = totals.transpose(1, 0, 2).reshape(self.count, -1)[:, :size]

        def gradient(gates: tuple[int, ...], begin: int) -> Array:
            by_gate = np.empty((len(gates), size), np.float32)
            for slot, gate in enumerate(gates, begin):
                by_gate[gate] = by_slot[slot]
            return by_gate.reshape(-1)

        return (
            gradient(self.input, self.input_begin),
            gradient(self.hidden, self.hidden_begin),
        )
