"""Gradients of the parameters, from those of all gates: large matmuls over all rows.

They are split into tasks, of which a free thread runs the next one. A task sums over the rows in
their order, whichever thread runs it.

T steps, B batch rows, H hidden size, V vocabulary, E input size.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.kernel_records import Records
from rondel.kernels.simd.matmul import Left, Panels, multiply
from rondel.kernels.simd.rows import add_row
from rondel.kernels.simd.unit_groups import (
    BYTES,
    PANEL,
    Array,
    Groups,
    address_of,
    count_groups,
    from_groups,
)
from rondel.kernels.threads.team import Task
from rondel.kernels.training.backward import table_source_gradient
from rondel.kernels.training.layer_records import NO_TOKENS, Tokens
from rondel.kernels.training.workspace import Workspace, group_ranges

# Rows and panels of a block of the product: as many as the L2 cache holds.
DEPTH, PANELS = 128, 16


@compiled
def weight_gradient(
    gates: Groups,
    first_slot: int,
    gate_of_slot: npt.NDArray[np.int64],
    begin: int,
    end: int,
    others: Groups,
    other_groups: int,
    runs: Records,
    out: Array,
) -> None:
    """Compute a weight matrix's gradient (G * H, K): the rows of groups `begin` to `end`.

    Slots from `first_slot` on are the gates `gate_of_slot`. `others` are the `other_groups` groups
    of what the matrix multiplies; `runs` (`RowRun`) are the matching rows of gates and others.
    Writes `out` (gates, groups * 16, other_groups * 16).
    """
    width = out.shape[2]
    accumulate = 0
    for run in range(runs.size):
        for done in range(0, runs[run].rows, DEPTH):
            depth = min(DEPTH, runs[run].rows - done)
            row, other = runs[run].first + done, runs[run].other + done
            for first in range(0, other_groups, PANELS):
                for group in range(begin, end):
                    for slot in range(gate_of_slot.size):
                        target = (gate_of_slot[slot] * out.shape[1] + group * PANEL) * width
                        transposed = Left(
                            address=address_of(gates, group, row)
                            + BYTES * (first_slot + slot) * PANEL,
                            row=1,
                            k=gates.row,
                            block=0,
                            block_size=depth,
                            blocks=1,
                        )
                        multiply(
                            PANEL,
                            min(PANELS, other_groups - first),
                            transposed,
                            Panels(address=address_of(others, first, other), distance=others.group),
                            Groups(
                                address=out.ctypes.data + BYTES * (target + first * PANEL),
                                group=PANEL,
                                row=width,
                            ),
                            accumulate,
                        )
            accumulate = 1


@compiled
def sum_rows(gates: Groups, rows: int, begin: int, end: int, totals: Groups) -> None:
    """Add all rows of groups `begin` to `end` to the only row of `totals`."""
    for group in range(begin, end):
        for row in range(rows):
            add_row(gates.row, address_of(gates, group, row), address_of(totals, group, 0))


@compiled
def sum_rows_by_token(
    gates: Groups, begin: int, end: int, blocks: Records, tokens_TB: Tokens, totals: Groups
) -> None:
    """Add rows of groups `begin` to `end` to their tokens' in `totals` (groups, V, slots * 16)."""
    steps = tokens_TB.shape[0]
    for group in range(begin, end):
        for number in range(blocks.size):
            first, rows = blocks[number].begin, blocks[number].rows
            for step in range(steps):
                for i in range(rows):
                    source = address_of(gates, group, steps * first + step * rows + i)
                    token = tokens_TB[step, first + i]
                    add_row(gates.row, source, address_of(totals, group, token))


class Gradients:
    """Sums of the parameters' gradients over all rows, in padded arrays."""

    def __init__(self, work: Workspace, tokens_TB: Tokens = NO_TOKENS) -> None:
        shape, groups = work.shape, work.shape.groups
        self._work, self._tokens_TB = work, tokens_TB
        gates = len(work.slots.hidden)
        sizes = [count_groups(shape.input_size)] + [groups] * (shape.num_layers - 1)
        padded = groups * PANEL
        self.hidden = [np.empty((gates, padded, padded), np.float32) for _ in sizes]
        self.input = [np.empty((gates, padded, size * PANEL), np.float32) for size in sizes]
        self.sums = np.zeros((shape.num_layers, groups, work.slots.count, PANEL), np.float32)

    def tasks(self) -> list[Task]:
        """Return the tasks that compute the gradients."""
        return [
            partial(self._sum_groups, layer, begin, end)
            for layer in range(self._work.shape.num_layers - 1, -1, -1)
            for begin, end in group_ranges(self._work.shape.groups)
        ]

    def _sum_groups(self, layer: int, begin: int, end: int) -> None:
        work, shape = self._work, self._work.shape
        gates = Groups.of(work.gates[layer])
        weight_gradient(
            gates=gates,
            first_slot=work.slots.hidden_begin,
            gate_of_slot=work.gates_of_hidden,
            begin=begin,
            end=end,
            others=Groups.of(work.h[layer]),
            other_groups=shape.groups,
            runs=work.runs_of_states,
            out=self.hidden[layer],
        )
        if layer == 0 and shape.vocabulary:
            self._sum_by_token(gates, begin, end)
            return
        totals = Groups.of(self.sums[layer, :, None])
        sum_rows(gates, shape.steps * shape.batch, begin, end, totals)
        source, is_states = work.source_of(layer)
        runs = work.runs_of_outputs if is_states else work.runs_of_gates
        self._sum_input(layer, gates, begin, end, source, runs)

    def _sum_input(
        self, layer: int, gates: Groups, begin: int, end: int, source: Array, runs: Records
    ) -> None:
        weight_gradient(
            gates=gates,
            first_slot=self._work.slots.input_begin,
            gate_of_slot=self._work.gates_of_input,
            begin=begin,
            end=end,
            others=Groups.of(source),
            other_groups=len(source),
            runs=runs,
            out=self.input[layer],
        )

    def _sum_by_token(self, gates: Groups, begin: int, end: int) -> None:
        work, shape = self._work, self._work.shape
        d_table, slots = work.d_table, work.slots
        d_table[begin:end] = 0
        totals = Groups.of(d_table)
        sum_rows_by_token(gates, begin, end, work.block_records, self._tokens_TB, totals)
        # No NumPy warning for infinite gradients: the training loop reports them.
        with np.errstate(invalid="ignore", over="ignore"):
            sums = d_table[begin:end].sum(axis=1)
        self.sums[0, begin:end] = sums.reshape(end - begin, slots.count, PANEL)
        if shape.embedded:
            self._sum_input(0, totals, begin, end, work.source, work.runs_of_vocabulary)
            return
        by_slot = d_table[begin:end].reshape(end - begin, shape.vocabulary, -1, PANEL)
        for slot, gate in enumerate(slots.input, slots.input_begin):
            rows = by_slot[:, :, slot].swapaxes(1, 2).reshape(-1, shape.vocabulary)
            units = slice(begin * PANEL, end * PANEL)
            self.input[0][gate, units, : shape.vocabulary] = rows

    def layer(self, layer: int) -> tuple[Array, Array, Array, Array]:
        """Return one layer's gradients, shaped and ordered as its `LayerParameters`."""
        shape = self._work.shape
        size = shape.hidden_size
        inputs = shape.input_size if layer == 0 else size
        return (
            self.input[layer][:, :size, :inputs].reshape(-1, inputs),
            self.hidden[layer][:, :size, :size].reshape(-1, size),
            *self._work.slots.bias_gradients(self.sums[layer], size),
        )

    def embedding(self) -> Array:
        """Return the gradient of the embedding (V, E)."""
        work, shape = self._work, self._work.shape
        table_source_gradient(work.layers, Groups.of(work.d_table), Groups.of(work.d_source))
        # A copy: for a single group it would share the workspace's memory.
        return np.array(from_groups(work.d_source, shape.input_size, 0, shape.vocabulary))
