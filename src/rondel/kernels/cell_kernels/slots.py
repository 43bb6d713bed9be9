"""Where a cell's gates stand in memory, and its biases put there and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel.kernels.simd.columns import PANEL, Array


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Where a cell's two matmuls add up, for 16 units: a slot has 16 numbers.

    There is one for each gate, but two for a gate whose halves stay apart. Each matmul fills slots
    that lie together, from its `begin` on; `input` and `hidden` say which gate (its place in the
    weights) each of those is.
    """

    count: int
    input: tuple[int, ...]
    hidden: tuple[int, ...]
    input_begin: int = 0
    hidden_begin: int = 0

    def bias(self, bias_ih: Array, bias_hh: Array, units: int) -> Array:
        """What each slot starts from: (units, slots, 16)."""
        size = len(bias_ih) // len(self.input)
        total = np.zeros((self.count, units * PANEL), np.float32)
        for slot, gate in enumerate(self.input, self.input_begin):
            total[slot, :size] += bias_ih[gate * size : (gate + 1) * size]
        for slot, gate in enumerate(self.hidden, self.hidden_begin):
            total[slot, :size] += bias_hh[gate * size : (gate + 1) * size]
        return np.ascontiguousarray(total.reshape(self.count, units, PANEL).transpose(1, 0, 2))

    def bias_gradients(self, totals: Array, size: int) -> tuple[Array, Array]:
        """Gradients of both biases (G * H) from the slots' sums (units, slots, 16)."""
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
