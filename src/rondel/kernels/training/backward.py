"""A layer's way back through time over a block of rows."""

from __future__ import annotations

from rondel.kernels.compiling import compiled
from rondel.kernels.records import Records
from rondel.kernels.simd.columns import PANEL, Columns, address_of, from_row, slots_of
from rondel.kernels.simd.matmul import Panels, as_left, multiply
from rondel.kernels.simd.pointwise import call_backward
from rondel.kernels.training.forward import ROWS_AT_A_TIME, apply_mask, gates_row, states_row
from rondel.kernels.training.records import Layer


@compiled
def to_states(layers: Records, number: int, begin: int, rows: int) -> None:
    """Make gradients of a block's outputs, in d_h, those of its states: dropout is between them."""
    layer = layers[number]
    if layer.mask.address != 0:
        outputs = from_row(layer.d_h, states_row(layer, begin) + rows)
        apply_mask(layer, begin, rows, outputs, outputs)


@compiled
def backward(layers: Records, number: int, begin: int, rows: int) -> None:
    """Back through all steps of a block, and to its input where its gradient is asked for.

    d_h holds the gradients of the states, which `to_states` has made of those of the outputs, d_c
    that of the last c. After it, gates hold the slots' gradients, step 0 of d_h and d_c those of
    the initial state.
    """
    layer = layers[number]
    cell = layer.cell
    for step in range(layer.steps - 1, -1, -1):
        before = states_row(layer, begin) + step * rows
        row = gates_row(layer, begin) + step * rows
        for unit in range(layer.units):
            call_backward(
                cell.backward, rows, address_of(layer.gates, unit, row),
                address_of(layer.h, unit, before), address_of(layer.c, unit, before),
                address_of(layer.kept, unit, row),
                address_of(layer.d_h, unit, before + rows), address_of(layer.d_h, unit, before),
                address_of(layer.d_c, unit, begin),
            )  # fmt: skip
        _multiply_back(
            rows, layer.units, from_row(layer.gates, row), cell.hidden_begin, cell.hidden_slots,
            layer.hidden_panels_back, layer.units, from_row(layer.d_h, before), 1,
        )  # fmt: skip
    if layer.d_source.address != 0:
        first, total = gates_row(layer, begin), layer.steps * rows
        after = states_row(layer, begin) + rows
        for row in range(0, total, ROWS_AT_A_TIME):
            count = min(ROWS_AT_A_TIME, total - row)
            gates = from_row(layer.gates, first + row)
            _source_gradient(layer, count, gates, from_row(layer.d_source, after + row))


@compiled
def table_source_gradient(layers: Records, d_table: Columns, d_source: Columns) -> None:
    """Gradients of the tokens' vectors from those of the first layer's table."""
    layer = layers[0]
    _source_gradient(layer, layer.vocabulary, d_table, d_source)


@compiled
def _source_gradient(layer: Layer, rows: int, gates: Columns, d_source: Columns) -> None:
    """Gradients of an input of numbers, from those of the gates."""
    cell = layer.cell
    _multiply_back(
        rows, layer.units, gates, cell.input_begin, cell.input_slots,
        layer.input_panels_back, layer.input_units, d_source, 0,
    )  # fmt: skip


@compiled
def _multiply_back(
    rows: int,
    units: int,
    gates: Columns,
    first_slot: int,
    slots: int,
    panels: int,
    count: int,
    target: Columns,
    accumulate: int,
) -> None:
    """The product of some slots' gradients and a matrix's own columns, `count` panels of them."""
    first = slots_of(gates, 0, first_slot)
    slice_of_units = Columns(address=first.address, unit=gates.unit, row=gates.row)
    depth = slots * PANEL
    packed = Panels(address=panels, distance=units * depth * PANEL)
    multiply(rows, count, as_left(slice_of_units, units, depth), packed, target, accumulate)
