"""A recurrent stack's forward pass over a block of rows, keeping all that backward needs."""

from __future__ import annotations

from rondel.kernels.compiling import compiled
from rondel.kernels.kernel_records import Records
from rondel.kernels.simd.matmul import add_product
from rondel.kernels.simd.pointwise import call_forward
from rondel.kernels.simd.rows import copy_row, multiply_row
from rondel.kernels.simd.unit_groups import BYTES, PANEL, Groups, address_of, from_row, slots_of
from rondel.kernels.training.layer_records import Tokens, TrainingLayer

ROWS_AT_A_TIME = 96


@compiled
def gates_row(layer: TrainingLayer, begin: int) -> int:
    """Return a block's first row among the gates."""
    return layer.steps * begin


@compiled
def states_row(layer: TrainingLayer, begin: int) -> int:
    """Return a block's first row among the states: the initial state."""
    return (layer.steps + 1) * begin


@compiled
def forward(layers: Records, begin: int, rows: int, tokens_TB: Tokens) -> None:
    """Run all layers' steps for a block, with dropout of a layer's outputs if there is a mask."""
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
def _step(layer: TrainingLayer, begin: int, rows: int, step: int, tokens_TB: Tokens) -> None:
    """Run one step of one layer, whose gates hold the input half already if there is no table."""
    cell, width = layer.cell, layer.cell.slots * PANEL
    before = states_row(layer, begin) + step * rows
    after, row = before + rows, gates_row(layer, begin) + step * rows
    gates, h = from_row(layer.gates, row), from_row(layer.h, before)
    panels_of_group = BYTES * cell.hidden_slots * layer.groups * PANEL * PANEL
    for group in range(layer.groups):
        if layer.table.address != 0:
            for i in range(rows):
                token = tokens_TB[step, begin + i]
                copy_row(width, address_of(layer.table, group, token), address_of(gates, group, i))
        add_product(
            rows, layer.groups, h, layer.hidden_panels + group * panels_of_group,
            cell.hidden_slots, slots_of(gates, group, cell.hidden_begin),
        )  # fmt: skip
        call_forward(
            cell.forward, rows, address_of(gates, group, 0),
            address_of(h, group, 0), address_of(layer.h, group, after),
            address_of(layer.c, group, before), address_of(layer.c, group, after),
            address_of(layer.kept, group, row),
        )  # fmt: skip


@compiled
def _block_input_gates(layer: TrainingLayer, begin: int, rows: int) -> None:
    """Compute the input half of a block's gates, at all steps, from a dense input."""
    total, first = layer.steps * rows, gates_row(layer, begin)
    source_first = first + layer.source_is_states * (begin + rows)
    for row in range(0, total, ROWS_AT_A_TIME):
        _input_gates(
            layer,
            min(ROWS_AT_A_TIME, total - row),
            from_row(layer.source, source_first + row),
            from_row(layer.gates, first + row),
            0,
            layer.groups,
        )


@compiled
def _input_gates(
    layer: TrainingLayer, rows: int, source: Groups, gates: Groups, begin: int, end: int
) -> None:
    """Compute the input half of gates, biases included, of groups `begin` to `end`."""
    cell, width = layer.cell, layer.cell.slots * PANEL
    panels_of_group = BYTES * cell.input_slots * layer.input_groups * PANEL * PANEL
    for group in range(begin, end):
        for row in range(rows):
            copy_row(width, layer.bias + BYTES * group * width, address_of(gates, group, row))
        add_product(
            rows, layer.input_groups, source, layer.input_panels + group * panels_of_group,
            cell.input_slots, slots_of(gates, group, cell.input_begin),
        )  # fmt: skip


@compiled
def fill_table(layers: Records, begin: int, end: int) -> None:
    """Compute the first layer's table for groups `begin` to `end`: all tokens' input gates."""
    layer = layers[0]
    source, table = from_row(layer.source, 0), from_row(layer.table, 0)
    _input_gates(layer, layer.vocabulary, source, table, begin, end)


@compiled
def apply_mask(layer: TrainingLayer, begin: int, rows: int, source: Groups, target: Groups) -> None:
    """Multiply a block's outputs by the mask; `source` and `target` begin at step 0's."""
    mask = from_row(layer.mask, layer.mask_steps * begin)
    for group in range(layer.groups):
        for step in range(layer.steps):
            row = step * rows
            multiply_row(
                rows * PANEL,
                address_of(source, group, row),
                address_of(mask, group, min(row, (layer.mask_steps - 1) * rows)),
                address_of(target, group, row),
            )
