"""The linear head, softmax and cross-entropy in one pass, for small vocabularies.

T steps, B batch rows, H hidden size, V vocabulary.
"""

from __future__ import annotations

import math

import numpy as np

from rondel.kernels.compiling import compiled
from rondel.kernels.kernel_records import Records
from rondel.kernels.simd.matmul import Left, Panels, add_product, as_left, multiply
from rondel.kernels.simd.rows import (
    add_row,
    copy_row,
    exponentiate_row,
    largest_of_row,
    number_at,
    scale_row,
    set_number,
)
from rondel.kernels.simd.unit_groups import BYTES, PANEL, Array, Groups, address_of, from_row
from rondel.kernels.training.forward import ROWS_AT_A_TIME
from rondel.kernels.training.layer_records import Tokens

DEPTH = 256  # rows summed at a time


@compiled
def head_loss(
    heads: Records, begin: int, rows: int, targets_TB: Tokens, scale: float, back: int
) -> float:
    """Return the summed loss of a block of rows, in nats; negative targets do not count.

    Writes the gradients, times `scale`: over the logits, and, if `back` is 1, those of the head's
    input to `d_source`.
    """
    head = heads[0]
    width = head.panels * PANEL
    logits = Groups(
        address=head.logits + BYTES * head.steps * begin * width, group=PANEL, row=width
    )
    outputs = (head.steps + 1) * begin + rows
    source_first = outputs if head.source_is_states == 1 else head.steps * begin
    total = 0.0
    for first in range(0, head.steps * rows, ROWS_AT_A_TIME):
        count = min(ROWS_AT_A_TIME, head.steps * rows - first)
        z = from_row(logits, first)
        for row in range(count):
            copy_row(width, head.bias, address_of(z, 0, row))
        x = from_row(head.source, source_first + first)
        add_product(count, head.groups, x, head.weight, head.panels, z)
        for row in range(count):
            step, i = divmod(first + row, rows)
            target = targets_TB[step, begin + i]
            total += _cross_entropy(address_of(z, 0, row), width, head.vocabulary, target, scale)
        if back == 1:
            packed = Panels(address=head.weight_back, distance=width * PANEL)
            d_source = from_row(head.d_source, outputs + first)
            multiply(count, head.groups, as_left(z, head.panels, PANEL), packed, d_source, 0)
    return total


@compiled
def _cross_entropy(row: int, width: int, vocabulary: int, target: int, scale: float) -> float:
    """Return one row's loss, and overwrite its logits with their gradients."""
    if target < 0:
        scale_row(width, row, np.float32(0.0))
        return 0.0
    largest = largest_of_row(width, row)
    chosen = number_at(row + BYTES * target)
    total = exponentiate_row(width, row, row, largest)
    scale_row(width, row, np.float32(scale / total))
    # The last panel's padding has no logits, so its gradients are 0.
    for column in range(vocabulary, width):
        set_number(row + BYTES * column, np.float32(0.0))
    place = row + BYTES * target
    set_number(place, np.float32(number_at(place) - np.float32(scale)))
    return math.log(total) + float(largest) - float(chosen)


@compiled
def head_gradient(
    heads: Records, rows: int, begin: int, end: int, runs: Records, out: Array, d_bias: Array
) -> None:
    """Compute gradients of the head's matrix (panels * 16, groups * 16), rows `begin` to `end`.

    Also of its bias. All logits have `rows` rows; `runs` (`RowRun`) match them to the source's.
    """
    head = heads[0]
    width = head.panels * PANEL
    logits = Groups(address=head.logits + BYTES * begin, group=PANEL, row=width)
    target = Groups(
        address=out.ctypes.data + BYTES * begin * out.shape[1], group=PANEL, row=out.shape[1]
    )
    accumulate = 0
    for run in range(runs.size):
        for done in range(0, runs[run].rows, DEPTH):
            depth = min(DEPTH, runs[run].rows - done)
            transposed = Left(
                address=address_of(logits, 0, runs[run].first + done),
                row=1,
                k=width,
                block=0,
                block_size=depth,
                blocks=1,
            )
            source = address_of(head.source, 0, runs[run].other + done)
            panels = Panels(address=source, distance=head.source.group)
            multiply(end - begin, head.groups, transposed, panels, target, accumulate)
            accumulate = 1
    d_bias[begin:end] = 0
    for row in range(rows):
        add_row(end - begin, address_of(logits, 0, row), d_bias.ctypes.data + BYTES * begin)
