"""The linear head with softmax and cross-entropy in one pass, for vocabularies of a small size."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.matmul import BYTES, PANEL, multiply
from rondel.kernels.simd.rows import (
    add_row,
    copy_row,
    exponentiate_row,
    largest_of_row,
    number_at,
    scale_row,
    set_number,
)
from rondel.kernels.training.recurrence import ROWS_AT_A_TIME, Tokens


@compiled
def head_loss(
    steps: int,
    begin: int,
    rows: int,
    source: int,
    source_rows: int,
    source_first: int,
    units: int,
    panels: int,
    bias: int,
    columns: int,
    vocabulary: int,
    targets_TB: Tokens,
    scale: float,
    logits: int,
    back: int,
    d_source: int,
    d_source_rows: int,
    d_source_first: int,
) -> float:
    """The summed loss of a block of rows, in nats; a negative target does not count.

    `logits` (rows, columns * 16) receives the gradients of the logits times `scale`, and
    `d_source`, unless it is 0, those of the head's input.
    """
    width = columns * PANEL
    total = 0.0
    for first in range(0, steps * rows, ROWS_AT_A_TIME):
        count = min(ROWS_AT_A_TIME, steps * rows - first)
        place = logits + BYTES * first * width
        for row in range(count):
            copy_row(width, bias, place + BYTES * row * width)
        multiply(
            count,
            columns,
            source + BYTES * (source_first + first) * PANEL,
            PANEL,
            1,
            source_rows * PANEL,
            PANEL,
            units,
            panels,
            units * PANEL * PANEL,
            place,
            width,
            PANEL,
            1,
        )
        for row in range(count):
            step, member = divmod(first + row, rows)
            target = targets_TB[step, begin + member]
            total += _cross_entropy(place + BYTES * row * width, width, vocabulary, target, scale)
        if d_source != 0:
            multiply(
                count,
                units,
                place,
                width,
                1,
                0,
                width,
                1,
                back,
                width * PANEL,
                d_source + BYTES * (d_source_first + first) * PANEL,
                PANEL,
                d_source_rows * PANEL,
                0,
            )
    return total


@compiled
def _cross_entropy(row: int, width: int, vocabulary: int, target: int, scale: float) -> float:
    """One row's loss; its logits become their gradients."""
    if target < 0:
        scale_row(width, row, np.float32(0.0))
        return 0.0
    largest = largest_of_row(width, row)
    chosen = number_at(row + BYTES * target)
    total = exponentiate_row(width, row, row, largest)
    scale_row(width, row, np.float32(scale / total))
    # What pads the last panel has no logit, and gets no gradient.
    for column in range(vocabulary, width):
        set_number(row + BYTES * column, np.float32(0.0))
    place = row + BYTES * target
    set_number(place, np.float32(number_at(place) - np.float32(scale)))
    return math.log(total) + float(largest) - float(chosen)


@compiled
def head_gradient(
    logits: int,
    rows: int,
    width: int,
    row_begin: int,
    row_end: int,
    source: int,
    source_rows: int,
    runs: npt.NDArray[np.int64],
    units: int,
    out: npt.NDArray[np.float32],
    d_bias: npt.NDArray[np.float32],
) -> None:
    """Gradients of the head's matrix (columns * 16, units * 16) and bias, rows `begin` to `end`."""
    accumulate = 0
    for run in range(runs.shape[0]):
        for begin in range(0, runs[run, 2], 256):
            depth = min(256, runs[run, 2] - begin)
            place, other = runs[run, 0] + begin, runs[run, 1] + begin
            multiply(
                row_end - row_begin,
                units,
                logits + BYTES * (place * width + row_begin),
                1,
                width,
                0,
                depth,
                1,
                source + BYTES * other * PANEL,
                source_rows * PANEL,
                out.ctypes.data + BYTES * row_begin * out.shape[1],
                out.shape[1],
                PANEL,
                accumulate,
            )
            accumulate = 1
    d_bias[row_begin:row_end] = 0
    for place in range(rows):
        here = logits + BYTES * (place * width + row_begin)
        add_row(row_end - row_begin, here, d_bias.ctypes.data + BYTES * row_begin)
