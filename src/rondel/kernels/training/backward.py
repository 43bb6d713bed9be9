"""A layer's backward pass through time over a block of rows."""

from __future__ import annotations

from rondel.kernels.compiling import compiled
from rondel.kernels.kernel_records import Records
from rondel.kernels.simd.matmul import Panels, as_left, multiply
from rondel.kernels.simd.pointwise import call_backward
from rondel.kernels.simd.unit_groups import PANEL, Groups, address_of, from_row, slots_of
from rondel.kernels.training.forward import ROWS_AT_A_TIME, apply_mask, gates_row, states_row
from rondel.kernels.training.layer_records import TrainingLayer


@compiled
def to_states(layers: Records, number: int, begin: int, rows: int) -> None:
    """Apply the dropout mask to d_h: turns gradients of a block's outputs into those of states."""
    layer = layers[number]
    if layer.mask.address != 0:
        outputs = from_row(layer.d_h, states_row(layer, begin) + rows)
        apply_mask(layer, begin, rows, outputs, outputs)


@compiled
def backward(layers: Records, number: int, begin: int, rows: int) -> None:
    """Go back through all steps of a block; computes its input's gradient if `d_source` is set.

    Before it, d_h holds the gradients of the states (see `to_states`), d_c that of the last c.
    After it, gates hold the slots' gradients; step 0 of d_h, and d_c, those of the initial state.
    """
    layer = layers[number]
    cell = layer.cell
    for step in range(layer.steps - 1, -1, -1):
        before = states_row(layer, begin) + step * rows
        row = gates_row(layer, begin) + step * rows
        for group in range(layer.groups):
            call_backward(
                cell.backward, rows, address_of(layer.gates, group, row),
                address_of(layer.h, group, before), address_of(layer.c, group, before),
                address_of(layer.kept, group, row),
                address_of(layer.d_h, group, before + rows), address_of(layer.d_h, group, before),
                address_of(layer.d_c, group, begin),
            )  # fmt: skip
        _multiply_back(
            rows, layer.groups, from_row(layer.gates, row), cell.hidden_begin, cell.hidden_slots,
            layer.hidden_panels_back, layer.groups, from_row(layer.d_h, before), 1,
        )  # fmt: skip
    if layer.d_source.address != 0:
        first, total = gates_row(layer, begin), layer.steps * rows
        after = states_row(layer, begin) + rows
        for row in range(0, total, ROWS_AT_A_TIME):
            count = min(ROWS_AT_A_TIME, total - row)
            gates = from_row(layer.gates, first + row)
            _source_gradient(layer, count, gates, from_row(layer.d_source, after + row))


@compiled
def table_source_gradient(layers: Records, d_table: Groups, d_source: Groups) -> None:
    """Compute gradients of the tokens' vectors from those of the first layer's table."""
    layer = layers[0]
    _source_gradient(layer, layer.vocabulary, d_table, d_source)


@compiled
def _source_gradient(layer: TrainingLayer, rows: int, gates: Groups, d_source: Groups) -> None:
    """Compute gradients of a dense input from those of the gates."""
    cell = layer.cell
    _multiply_back(
        rows, layer.groups, gates, cell.input_begin, cell.input_slots,
        layer.input_panels_back, layer.input_groups, d_source, 0,
    )  # fmt: skip


@compiled
def _multiply_back(
    rows: int,
    groups: int,
    gates: Groups,
    first_slot: int,
    slots: int,
    panels: int,
    count: int,
    target: Groups,
    accumulate: int,
) -> None:
    """Multiply some slots' gradients by a matrix's columns, packed in `count` panels."""
    first = slots_of(gates, 0, first_slot)
    d_slots = Groups(address=first.address, group=gates.group, row=gates.row)
    depth = slots * PANEL
    packed = Panels(address=panels, distance=groups * depth * PANEL)
    multiply(rows, count, as_left(d_slots, groups, depth), packed, target, accumulate)
