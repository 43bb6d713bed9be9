"""Gradients of the parameters, once those of all gates are known: large matmuls over all rows.

What is computed together is a task, so that threads take the next one when they are done. A task's
sums run over the rows in their order, whichever thread does it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.matmul import BYTES, PANEL, multiply
from rondel.kernels.simd.rows import add_row
from rondel.kernels.training.recurrence import Tokens

Array = npt.NDArray[np.float32]
Blocks = npt.NDArray[np.int64]
"""(count, 2): where in the batch a block begins, and its rows."""

# Rows of how many panels are gone through before the next ones: what the second cache holds.
DEPTH, PANELS = 128, 16


@compiled
def weight_gradient(
    gates: int,
    gates_rows: int,
    slots: int,
    first_slot: int,
    gate_of_slot: npt.NDArray[np.int64],
    unit_begin: int,
    unit_end: int,
    others: int,
    others_rows: int,
    columns: int,
    runs: npt.NDArray[np.int64],
    out: Array,
) -> None:
    """Gradient of a weight matrix (G * H, K): its rows for columns of units `begin` to `end`.

    `others` are the columns of what the matrix multiplies, `columns` of them. `runs` (count, 3) say
    which rows belong together: the first among the gates, the first among `others`, how many.
    `out` (gates, units * 16, columns * 16) is written.
    """
    line = slots * PANEL
    width = out.shape[2]
    base = out.ctypes.data
    accumulate = 0
    for run in range(runs.shape[0]):
        for begin in range(0, runs[run, 2], DEPTH):
            depth = min(DEPTH, runs[run, 2] - begin)
            row, other = runs[run, 0] + begin, runs[run, 1] + begin
            for column in range(0, columns, PANELS):
                for unit in range(unit_begin, unit_end):
                    for slot in range(gate_of_slot.size):
                        place = unit * gates_rows + row
                        target = (gate_of_slot[slot] * out.shape[1] + unit * PANEL) * width
                        multiply(
                            PANEL,
                            min(PANELS, columns - column),
                            gates + BYTES * (place * line + (first_slot + slot) * PANEL),
                            1,
                            line,
                            0,
                            depth,
                            1,
                            others + BYTES * (column * others_rows + other) * PANEL,
                            others_rows * PANEL,
                            base + BYTES * (target + column * PANEL),
                            width,
                            PANEL,
                            accumulate,
                        )
            accumulate = 1


@compiled
def sum_of_rows(gates: int, rows: int, line: int, unit: int, total: int) -> None:
    """total (line) = the sum of one column's rows."""
    place = gates + BYTES * unit * rows * line
    for row in range(rows):
        add_row(line, place + BYTES * row * line, total)


@compiled
def sums_by_token(
    gates: int,
    line: int,
    unit: int,
    steps: int,
    blocks: Blocks,
    tokens_TB: Tokens,
    totals: int,
    vocabulary: int,
) -> None:
    """totals (units, V, line): one column's rows, each added to its token's."""
    batch = tokens_TB.shape[1]
    column = gates + BYTES * unit * steps * batch * line
    target = totals + BYTES * unit * vocabulary * line
    for block in range(blocks.shape[0]):
        begin, rows = blocks[block, 0], blocks[block, 1]
        place = column + BYTES * steps * begin * line
        for step in range(steps):
            for row in range(rows):
                token = tokens_TB[step, begin + row]
                source = place + BYTES * (step * rows + row) * line
                add_row(line, source, target + BYTES * token * line)
