"""One step of a layer, and the head: what reading and writing are made of.

T steps, B rows (streams). Workers share out the units; each number is computed by one of them,
with its sum always in the same order, so that bits do not depend on how many there are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.inference.records import Layer, Run
from rondel.kernels.simd.columns import BYTES, PANEL, Columns, address_of, from_row, from_unit
from rondel.kernels.simd.int8 import Activations, Matrix, add_int8_product, quantise_rows
from rondel.kernels.simd.matmul import add_product
from rondel.kernels.simd.pointwise import call_forward
from rondel.kernels.simd.rows import copy_row

Integers = npt.NDArray[np.int64]


@compiled
def share_begin(count: int, worker: int, workers: int) -> int:
    """Where a worker's part of so many things begins."""
    return count * worker // workers


@compiled
def scratch_of(run: Run, worker: int) -> int:
    """Address of a worker's scratch memory."""
    return run.scratch.address + worker * run.scratch.size


@compiled
def state_at(run: Run, step: int, layer: int) -> Columns:
    """A layer's h before a step."""
    h, offset = run.states.h, step * run.states.h_step + layer * run.states.h_layer
    return Columns(address=h.address + BYTES * offset, unit=h.unit, row=h.row)


@compiled
def _quantised(run: Run, rows: int, units: int, x: Columns, scratch: int) -> Activations:
    """Rows in 16 bits, written to scratch memory."""
    row = run.scratch.activations_row
    activations = Activations(address=scratch, row=row, scale=scratch + rows * row)
    quantise_rows(rows, units, x, run.largest_activation, run.cell.bounded, activations)
    return activations


@compiled
def _add_gates(
    run: Run,
    rows: int,
    units: int,
    x: Columns,
    weight: Matrix,
    slots: int,
    first_slot: int,
    gates: Columns,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """Add the product of x and a matrix to some slots of units `begin` to `end`."""
    target = Columns(
        address=gates.address + BYTES * first_slot * PANEL, unit=gates.unit, row=gates.row
    )
    together, distance = 1, PANEL
    if run.cell.slots == 1:
        # A cell of one gate: several units keep more registers busy.
        together, distance = max(1, end - begin), gates.unit
    activations = Activations(address=0, row=0, scale=0)
    if weight.start != 0:
        activations = _quantised(run, rows, units, x, scratch)
    for unit in range(begin, end, together):
        z = Columns(address=address_of(target, unit, 0), unit=distance, row=target.row)
        if weight.start != 0:
            add_int8_product(rows, units, activations, weight, unit * slots, together * slots, z)
        else:
            panels = weight.panels + BYTES * unit * slots * units * PANEL * PANEL
            add_product(rows, units, x, panels, together * slots, z)


@compiled
def begin_gates(
    run: Run,
    layer: Layer,
    number: int,
    below: Columns,
    rows: int,
    tokens: Integers,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """The input's half of the gates of `rows` rows, biases included, for units `begin` to `end`.

    The input is the token of each row in the first layer (`number` 0), else the output `below`.
    """
    width = run.cell.slots * PANEL
    for unit in range(begin, end):
        for row in range(rows):
            source = layer.bias + BYTES * unit * width
            if layer.table != 0:
                source = layer.table + BYTES * (tokens[row] * run.units + unit) * width
            copy_row(width, source, address_of(run.gates, unit, row))
    if layer.table != 0:
        return
    if number == 0:
        # Every worker for itself: it takes no longer than to wait for one that does it for all.
        size = layer.input_units * PANEL
        below = Columns(address=scratch, unit=PANEL, row=size)
        for row in range(rows):
            copy_row(size, run.embedding + BYTES * tokens[row] * size, address_of(below, 0, row))
    _add_gates(
        run, rows, layer.input_units, below, layer.input,
        run.cell.input_slots, run.cell.input_begin, from_row(run.gates, 0), begin, end, scratch,
    )  # fmt: skip


@compiled
def recur(
    run: Run,
    layer: Layer,
    number: int,
    h: Columns,
    h_next: Columns,
    gates: Columns,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """The state's half of the gates at one step, and the next state, for units `begin` to `end`."""
    _add_gates(
        run, run.rows, run.units, h, layer.hidden,
        run.cell.hidden_slots, run.cell.hidden_begin, gates, begin, end, scratch,
    )  # fmt: skip
    first_c = BYTES * number * run.states.c_layer
    for unit in range(begin, end):
        c = address_of(run.states.c, unit, 0) + first_c
        call_forward(
            run.cell.forward, run.rows, address_of(gates, unit, 0),
            address_of(h, unit, 0), address_of(h_next, unit, 0), c, c, 0,
        )  # fmt: skip


@compiled
def add_head(run: Run, rows: int, h: Columns, begin: int, end: int, scratch: int) -> None:
    """Logits of rows from the last layer's states, for panels `begin` to `end` of tokens."""
    head = run.head
    logits = Columns(address=head.logits, unit=PANEL, row=head.panels * PANEL)
    z = from_unit(logits, begin)
    for row in range(rows):
        copy_row((end - begin) * PANEL, head.bias + BYTES * begin * PANEL, address_of(z, 0, row))
    if head.weight.start != 0:
        activations = _quantised(run, rows, run.units, h, scratch)
        add_int8_product(rows, run.units, activations, head.weight, begin, end - begin, z)
    else:
        panels = head.weight.panels + BYTES * begin * run.units * PANEL * PANEL
        add_product(rows, run.units, h, panels, end - begin, z)
