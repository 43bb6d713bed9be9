"""One step of a layer, and the head: shared by `sequence` and `streams`.

T steps, B rows (streams). Workers share the groups of units; one of them computes each number, and
sums in a fixed order, so that bits do not depend on the number of workers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.inference.run_records import InferenceLayer, Run
from rondel.kernels.simd.int8 import Activations, Matrix, add_int8_product, quantise_rows
from rondel.kernels.simd.matmul import add_product
from rondel.kernels.simd.pointwise import call_forward
from rondel.kernels.simd.rows import copy_row
from rondel.kernels.simd.unit_groups import BYTES, PANEL, Groups, address_of, from_group, from_row

Integers = npt.NDArray[np.int64]


@compiled
def share_begin(count: int, worker: int, workers: int) -> int:
    """Return where a worker's share of `count` items begins."""
    return count * worker // workers


@compiled
def scratch_of(run: Run, worker: int) -> int:
    """Return the address of a worker's scratch memory."""
    return run.scratch.address + worker * run.scratch.size


@compiled
def state_at(run: Run, step: int, layer: int) -> Groups:
    """Return a layer's h before a step."""
    h, offset = run.states.h, step * run.states.h_step + layer * run.states.h_layer
    return Groups(address=h.address + BYTES * offset, group=h.group, row=h.row)


@compiled
def _quantised(run: Run, rows: int, groups: int, x: Groups, scratch: int) -> Activations:
    """Quantise rows to 16 bits, into scratch memory."""
    row = run.scratch.activations_row
    activations = Activations(address=scratch, row=row, scale=scratch + rows * row)
    quantise_rows(rows, groups, x, run.largest_activation, run.cell.bounded, activations)
    return activations


@compiled
def _add_gates(
    run: Run,
    rows: int,
    groups: int,
    x: Groups,
    weight: Matrix,
    slots: int,
    first_slot: int,
    gates: Groups,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """Add the product of x and a matrix to some slots of groups `begin` to `end`."""
    target = Groups(
        address=gates.address + BYTES * first_slot * PANEL, group=gates.group, row=gates.row
    )
    together, distance = 1, PANEL
    if run.cell.slots == 1:
        # A cell of one gate: several groups at once keep more registers busy.
        together, distance = max(1, end - begin), gates.group
    activations = Activations(address=0, row=0, scale=0)
    if weight.start != 0:
        activations = _quantised(run, rows, groups, x, scratch)
    for group in range(begin, end, together):
        z = Groups(address=address_of(target, group, 0), group=distance, row=target.row)
        if weight.start != 0:
            add_int8_product(rows, groups, activations, weight, group * slots, together * slots, z)
        else:
            panels = weight.panels + BYTES * group * slots * groups * PANEL * PANEL
            add_product(rows, groups, x, panels, together * slots, z)


@compiled
def begin_gates(
    run: Run,
    layer: InferenceLayer,
    number: int,
    below: Groups,
    rows: int,
    tokens: Integers,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """Compute the input half of the gates of `rows` rows, biases included, for some groups.

    The input is each row's token in the first layer (`number` 0), else the output `below`.
    """
    width = run.cell.slots * PANEL
    for group in range(begin, end):
        for row in range(rows):
            source = layer.bias + BYTES * group * width
            if layer.table != 0:
                source = layer.table + BYTES * (tokens[row] * run.groups + group) * width
            copy_row(width, source, address_of(run.gates, group, row))
    if layer.table != 0:
        return
    if number == 0:
        # Each worker copies all of it, which takes no longer than a wait at the barrier.
        size = layer.input_groups * PANEL
        below = Groups(address=scratch, group=PANEL, row=size)
        for row in range(rows):
            copy_row(size, run.embedding + BYTES * tokens[row] * size, address_of(below, 0, row))
    _add_gates(
        run, rows, layer.input_groups, below, layer.input,
        run.cell.input_slots, run.cell.input_begin, from_row(run.gates, 0), begin, end, scratch,
    )  # fmt: skip


@compiled
def recur(
    run: Run,
    layer: InferenceLayer,
    number: int,
    h: Groups,
    h_next: Groups,
    gates: Groups,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """Add the hidden half of the gates, and compute the next state, of groups `begin` to `end`."""
    _add_gates(
        run, run.rows, run.groups, h, layer.hidden,
        run.cell.hidden_slots, run.cell.hidden_begin, gates, begin, end, scratch,
    )  # fmt: skip
    first_c = BYTES * number * run.states.c_layer
    for group in range(begin, end):
        c = address_of(run.states.c, group, 0) + first_c
        call_forward(
            run.cell.forward, run.rows, address_of(gates, group, 0),
            address_of(h, group, 0), address_of(h_next, group, 0), c, c, 0,
        )  # fmt: skip


@compiled
def add_head(run: Run, rows: int, h: Groups, begin: int, end: int, scratch: int) -> None:
    """Compute rows of logits from the last layer's states, for token panels `begin` to `end`."""
    head = run.head
    logits = Groups(address=head.logits, group=PANEL, row=head.panels * PANEL)
    z = from_group(logits, begin)
    for row in range(rows):
        copy_row((end - begin) * PANEL, head.bias + BYTES * begin * PANEL, address_of(z, 0, row))
    if head.weight.start != 0:
        activations = _quantised(run, rows, run.groups, h, scratch)
        add_int8_product(rows, run.groups, activations, head.weight, begin, end - begin, z)
    else:
        panels = head.weight.panels + BYTES * begin * run.groups * PANEL * PANEL
        add_product(rows, run.groups, h, panels, end - begin, z)
