"""The pass over whole sequences of tokens, of several streams, layer by layer.

T steps, B rows (streams), V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rondel.kernels.compiling import compiled
from rondel.kernels.inference.packed_model import Integers, PackedModel
from rondel.kernels.inference.run_records import States
from rondel.kernels.inference.step import (
    add_head,
    begin_gates,
    recur,
    scratch_of,
    share_begin,
    state_at,
)
from rondel.kernels.kernel_records import Records, records
from rondel.kernels.simd.unit_groups import (
    CACHE_LINE,
    NOWHERE,
    PANEL,
    Array,
    Groups,
    aligned,
    from_groups,
    from_row,
    to_groups,
)
from rondel.kernels.threads.barrier import wait_for_all


@compiled
def read_sequence(runs: Records, layers: Records, worker: int, tokens: Integers) -> None:
    """Compute every step's states for tokens (T * B), and logits if the run has memory for them.

    All of a layer's input gates are one product; its recurrence then goes step by step.
    """
    run = runs[0]
    workers, steps, rows, count = run.workers, run.steps, run.rows, run.layers
    begin = share_begin(run.groups, worker, workers)
    end = share_begin(run.groups, worker + 1, workers)
    scratch = scratch_of(run, worker)
    rounds = 0
    for number in range(count):
        layer = layers[number]
        below = state_at(run, 1, number - 1)
        begin_gates(run, layer, number, below, steps * rows, tokens, begin, end, scratch)
        for step in range(steps):
            h, h_next = state_at(run, step, number), state_at(run, step + 1, number)
            gates = from_row(run.gates, step * rows)
            recur(run, layer, number, h, h_next, gates, begin, end, scratch)
            if workers > 1:
                rounds += 1
                wait_for_all(run.arrivals, workers, rounds)
    if run.head.logits != 0:
        begin = share_begin(run.head.panels, worker, workers)
        end = share_begin(run.head.panels, worker + 1, workers)
        if end > begin:
            add_head(run, steps * rows, state_at(run, 1, count - 1), begin, end, scratch)


class SequenceBuffers:
    """The arrays of one pass over T steps by B rows."""

    def __init__(
        self, model: PackedModel, steps: int, rows: int, workers: int, *, logits: bool
    ) -> None:
        self._model, self._steps, self._rows = model, steps, rows
        layers, groups = model.num_layers, model.groups
        if rows == 1:
            # One row's groups are contiguous, so that a product need not skip between them.
            self._h = aligned(layers, steps + 1, groups * PANEL)
            h = Groups(address=self._h.ctypes.data, group=PANEL, row=groups * PANEL)
            h_step = groups * PANEL
        else:
            self._h = aligned(layers, groups, (steps + 1) * rows, PANEL)
            h, h_step = Groups.of(self._h[0]), rows * PANEL
        self._c = aligned(layers, groups, rows, PANEL) if model.kernel.has_c else None
        states = States(
            h=h,
            h_step=h_step,
            h_layer=self._h[0].size,
            c=NOWHERE if self._c is None else Groups.of(self._c[0]),
            c_layer=groups * rows * PANEL,
        )
        self._gates = np.empty((groups, steps * rows, model.kernel.slots.count * PANEL), np.float32)
        self._logits = np.empty((steps * rows if logits else 0, model.panels * PANEL), np.float32)
        self._arrivals = np.zeros(CACHE_LINE, np.int64)
        self._scratch = aligned(workers, model.scratch_bytes(steps * rows), dtype=np.uint8)
        self._run = records(
            model.run(
                steps=steps,
                rows=rows,
                workers=workers,
                states=states,
                gates=self._gates,
                arrivals=self._arrivals,
                scratch=self._scratch,
                logits=self._logits if logits else None,
                head_bias=model.head_bias,
            )
        )

    def begin(self, state: Sequence[Array]) -> None:
        """Set the initial state: (L, B, H) for each of the cell's states."""
        self._arrivals[0] = 0
        if self._rows == 1:
            self._h[:, 0, : self._model.size] = state[0][:, 0]
        for layer in range(self._model.num_layers):
            if self._rows != 1:
                to_groups(state[0][layer], self._h[layer])
            if self._c is not None:
                to_groups(state[1][layer], self._c[layer])

    def run(self, worker: int, tokens: Integers) -> None:
        """Run a worker's share of the pass over tokens (T * B)."""
        read_sequence(self._run, self._model.layers, worker, tokens)

    def logits(self) -> Array:
        """Return the logits (T, B, V) after each token."""
        logits_TBV = self._logits.reshape(self._steps, self._rows, -1)
        logits: Array = np.ascontiguousarray(logits_TBV[..., : self._model.vocabulary])
        return logits

    def outputs(self, layer: int = -1) -> Array:
        """Return a layer's outputs (T, B, H) after each token."""
        size = self._model.size
        if self._rows == 1:
            outputs: Array = self._h[layer, 1:, None, :size].copy()
            return outputs
        count = self._steps * self._rows
        part = from_groups(self._h[layer], size, self._rows, count)
        return part.reshape(self._steps, self._rows, size)

    def last_state(self) -> tuple[Array, ...]:
        """Return the state after the last step, (L, B, H) for each of the cell's states."""
        size = self._model.size
        if self._rows == 1:
            h = self._h[:, -1:, :size].copy()
        else:
            first = self._steps * self._rows
            h = np.stack([from_groups(part, size, first, self._rows) for part in self._h])
        if self._c is None:
            return (h,)
        return h, np.stack([from_groups(part, size, 0, self._rows) for part in self._c])
