"""A recurrent stack's pass forward over a block of rows, with all that the way back needs kept."""

from __future__ import annotations

from rondel.kernels.compiling import compiled
from rondel.kernels.records import Records
from rondel.kernels.simd.columns import BYTES, PANEL, Columns, address_of, from_row, slots_of
from rondel.kernels.simd.matmul import add_product
from rondel.kernels.simd.pointwise import call_forward
from rondel.kernels.simd.rows import copy_row, multiply_row
from rondel.kernels.training.records import Layer, Tokens

ROWS_AT_A_TIME = 96


@compiled
def gates_row(layer: Layer, begin: int) -> int:
    """The first row of a block among the gates."""
    return layer.steps * begin


@compiled
def states_row(layer: Layer, begin: int) -> int:
    """The first row of a block among the states: those before step 0."""
    return (layer.steps + 1) * begin


@compiled
def forward(layers: Records, begin: int, rows: int, tokens_TB: Tokens) -> None:
    """All steps of all layers for a block; then dropout, where there is a mask."""
    for number in range(layers.size):
        layer = layers[number]
        if layer.table.address == 0:
            _block_input_gates(layer, begin, rows)
        for step in range(layer.steps):
            _step(layer, begin, rows, step, tokens_TB)
        if layer.mask.address != 0:
            source = from_row(layer.h, states_row(layer, begin) + rows)
            apply_mask(layer, begin, rows, source, from_row(layer.masked, gates_row(layer, begin)))


@compiled
def _step(layer: Layer, begin: int, rows: int, step: int, tokens_TB: Tokens) -> None:
    """One step of one layer; what the input adds to the gates is there, unless it is a table."""
    cell, width = layer.cell, layer.cell.slots * PANEL
    before = states_row(layer, begin) + step * rows
    after, row = before + rows, gates_row(layer, begin) + step * rows
    gates, h = from_row(layer.gates, row), from_row(layer.h, before)
    panels_of_unit = BYTES * cell.hidden_slots * layer.units * PANEL * PANEL
    for unit in range(layer.units):
        if layer.table.address != 0:
            for i in range(rows):
                token = tokens_TB[step, begin + i]
                copy_row(width, address_of(layer.table, unit, token), address_of(gates, unit, i))
        add_product(
            rows, layer.units, h, layer.hidden_panels + unit * panels_of_unit,
            cell.hidden_slots, slots_of(gates, unit, cell.hidden_begin),
        )  # fmt: skip
        call_forward(
            cell.forward, rows, address_of(gates, unit, 0),
            address_of(h, unit, 0), address_of(layer.h, unit, after),
            address_of(layer.c, unit, before), address_of(layer.c, unit, after),
            address_of(layer.kept, unit, row),
        )  # fmt: skip


@compiled
def _block_input_gates(layer: Layer, begin: int, rows: int) -> None:
    """What an input of numbers adds to the gates of all of a block's steps."""
    total, first = layer.steps * rows, gates_row(layer, begin)
    source_first = first + layer.source_is_states * (begin + rows)
    for row in range(0, total, ROWS_AT_A_TIME):
        _input_gates(
            layer,
            min(ROWS_AT_A_TIME, total - row),
            from_row(layer.source, source_first + row),
            from_row(layer.gates, first + row),
            0,
            layer.units,
        )


@compiled
def _input_gates(
    layer: Layer, rows: int, source: Columns, gates: Columns, begin: int, end: int
) -> None:
    """Gates of units `begin` to `end` from an input of numbers: the biases, and the product."""
    cell, width = layer.cell, layer.cell.slots * PANEL
    panels_of_unit = BYTES * cell.input_slots * layer.input_units * PANEL * PANEL
    for unit in range(begin, end):
        for row in range(rows):
            copy_row(width, layer.bias + BYTES * unit * width, address_of(gates, unit, row))
        add_product(
            rows, layer.input_units, source, layer.input_panels + unit * panels_of_unit,
            cell.input_slots, slots_of(gates, unit, cell.input_begin),
        )  # fmt: skip


@compiled
def fill_table(layers: Records, begin: int, end: int) -> None:
    """The first layer's table for units `begin` to `end`: the gates of all tokens' vectors."""
    layer = layers[0]
    source, table = from_row(layer.source, 0), from_row(layer.table, 0)
    _input_gates(layer, layer.vocabulary, source, table, begin, end)


@compiled
def apply_mask(layer: Layer, begin: int, rows: int, source: Columns, target: Columns) -> None:
    """Multiply a block's rows by the mask, from the first of step 0's outputs on."""
    mask = from_row(layer.mask, layer.mask_steps * begin)
    for unit in range(layer.units):
        for step in range(layer.steps):
            row = step * rows
            multiply_row(
                rows * PANEL,
                address_of(source, unit, row),
                address_of(mask, unit, min(row, (layer.mask_steps - 1) * rows)),
                address_of(target, unit, row),
            )
