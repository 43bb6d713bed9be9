"""Gradients of the parameters, once those of all gates are known: large matmuls over all rows.

What is computed together is a task, so that threads take the next one when they are done. A task's
sums run over the rows in their order, whichever thread does it.

T steps, B batch rows, H hidden size, V vocabulary, E input size.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.records import Records
from rondel.kernels.simd.columns import (
    BYTES,
    PANEL,
    Array,
    Columns,
    address_of,
    columns_of,
    from_columns,
)
from rondel.kernels.simd.matmul import Left, Panels, multiply
from rondel.kernels.simd.rows import add_row
from rondel.kernels.threads.team import Task
from rondel.kernels.training.backward import table_source_gradient
from rondel.kernels.training.records import NO_TOKENS, Tokens
from rondel.kernels.training.workspace import Workspace, unit_ranges

# Rows of how many panels are gone through before the next ones: what the second cache holds.
DEPTH, PANELS = 128, 16


@compiled
def weight_gradient(
    gates: Columns,
    first_slot: int,
    gate_of_slot: npt.NDArray[np.int64],
    begin: int,
    end: int,
    others: Columns,
    columns: int,
    runs: Records,
    out: Array,
) -> None:
    """Gradient of a weight matrix (G * H, K): its rows for columns of units `begin` to `end`.

    Slots from `first_slot` on are the gates `gate_of_slot`. `others` are the columns of what the
    matrix multiplies, `columns` of them; `runs` (`RowRun`) say which rows of the two belong
    together. `out` (gates, units * 16, columns * 16) is written.
    """
    width = out.shape[2]
    accumulate = 0
    for run in range(runs.size):
        for done in range(0, runs[run].rows, DEPTH):
            depth = min(DEPTH, runs[run].rows - done)
            row, other = runs[run].first + done, runs[run].other + done
            for column in range(0, columns, PANELS):
                for unit in range(begin, end):
                    for slot in range(gate_of_slot.size):
                        target = (gate_of_slot[slot] * out.shape[1] + unit * PANEL) * width
                        transposed = Left(
                            address=address_of(gates, unit, row)
                            + BYTES * (first_slot + slot) * PANEL,
                            row=1,
                            k=gates.row,
                            block=0,
                            block_size=depth,
                            blocks=1,
                        )
                        multiply(
                            PANEL,
                            min(PANELS, columns - column),
                            transposed,
                            Panels(address=address_of(others, column, other), distance=others.unit),
                            Columns(
                                address=out.ctypes.data + BYTES * (target + column * PANEL),
                                unit=PANEL,
                                row=width,
                            ),
                            accumulate,
                        )
            accumulate = 1


@compiled
def sum_rows(gates: Columns, rows: int, begin: int, end: int, totals: Columns) -> None:
    """Add all rows of units `begin` to `end` to the only row of `totals`."""
    for unit in range(begin, end):
        for row in range(rows):
            add_row(gates.row, address_of(gates, unit, row), address_of(totals, unit, 0))


@compiled
def sum_rows_by_token(
    gates: Columns, begin: int, end: int, blocks: Records, tokens_TB: Tokens, totals: Columns
) -> None:
    """Add each row of units `begin` to `end` to its token's in `totals` (units, V, slots * 16)."""
    steps = tokens_TB.shape[0]
    for unit in range(begin, end):
        for number in range(blocks.size):
            first, rows = blocks[number].begin, blocks[number].rows
            for step in range(steps):
                for i in range(rows):
                    source = address_of(gates, unit, steps * first + step * rows + i)
                    token = tokens_TB[step, first + i]
                    add_row(gates.row, source, address_of(totals, unit, token))


class Gradients:
    """Sums of the parameters' gradients over all rows, in padded arrays."""

    def __init__(self, work: Workspace, tokens_TB: Tokens = NO_TOKENS) -> None:
        shape, units = work.shape, work.shape.units
        self._work, self._tokens_TB = work, tokens_TB
        gates = len(work.slots.hidden)
        sizes = [columns_of(shape.input_size)] + [units] * (shape.num_layers - 1)
        padded = units * PANEL
        self.hidden = [np.empty((gates, padded, padded), np.float32) for _ in sizes]
        self.input = [np.empty((gates, padded, size * PANEL), np.float32) for size in sizes]
        self.sums = np.zeros((shape.num_layers, units, work.slots.count, PANEL), np.float32)

    def tasks(self) -> list[Task]:
        """What there is to sum."""
        return [
            partial(self._sum_units, layer, begin, end)
            for layer in range(self._work.shape.num_layers - 1, -1, -1)
            for begin, end in unit_ranges(self._work.shape.units)
        ]

    def _sum_units(self, layer: int, begin: int, end: int) -> None:
        work, shape = self._work, self._work.shape
        gates = Columns.of(work.gates[layer])
        weight_gradient(
            gates=gates,
            first_slot=work.slots.hidden_begin,
            gate_of_slot=work.gates_of_hidden,
            begin=begin,
            end=end,
            others=Columns.of(work.h[layer]),
            columns=shape.units,
            runs=work.runs_of_states,
            out=self.hidden[layer],
        )
        if layer == 0 and shape.vocabulary:
            self._sum_by_token(gates, begin, end)
            return
        totals = Columns.of(self.sums[layer, :, None])
        sum_rows(gates, shape.steps * shape.batch, begin, end, totals)
        source, is_states = work.source_of(layer)
        runs = work.runs_of_outputs if is_states else work.runs_of_gates
        self._sum_input(layer, gates, begin, end, source, runs)

    def _sum_input(
        self, layer: int, gates: Columns, begin: int, end: int, source: Array, runs: Records
    ) -> None:
        weight_gradient(
            gates=gates,
            first_slot=self._work.slots.input_begin,
            gate_of_slot=self._work.gates_of_input,
            begin=begin,
            end=end,
            others=Columns.of(source),
            columns=len(source),
            runs=runs,
            out=self.input[layer],
        )

    def _sum_by_token(self, gates: Columns, begin: int, end: int) -> None:
        work, shape = self._work, self._work.shape
        d_table, slots = work.d_table, work.slots
        d_table[begin:end] = 0
        totals = Columns.of(d_table)
        sum_rows_by_token(gates, begin, end, work.block_records, self._tokens_TB, totals)
        # Gradients that are infinite are reported once, by what is made of all of them.
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
        """One layer's gradients, shaped and ordered as its `LayerParameters`."""
        shape = self._work.shape
        size = shape.hidden_size
        inputs = shape.input_size if layer == 0 else size
        return (
            self.input[layer][:, :size, :inputs].reshape(-1, inputs),
            self.hidden[layer][:, :size, :size].reshape(-1, size),
            *self._work.slots.bias_gradients(self.sums[layer], size),
        )

    def embedding(self) -> Array:
        """The gradient of the tokens' vectors (V, E)."""
        work, shape = self._work, self._work.shape
        table_source_gradient(work.layers, Columns.of(work.d_table), Columns.of(work.d_source))
        # A copy: of a single column it would be the workspace's own memory.
        return np.array(from_columns(work.d_source, shape.input_size, 0, shape.vocabulary))
