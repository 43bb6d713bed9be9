"""A recurrent stack's passes over a workspace: weights packed, forward, back.

T steps, B batch rows, H hidden size, L layers, V vocabulary, E input size, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from rondel.kernels.simd.columns import PANEL, Array, from_columns, to_columns
from rondel.kernels.simd.packing import pack_gates, pack_gates_back
from rondel.kernels.threads.team import Task
from rondel.kernels.training.backward import backward, to_states
from rondel.kernels.training.forward import fill_table, forward
from rondel.kernels.training.records import NO_TOKENS, Tokens
from rondel.kernels.training.workspace import Workspace, unit_ranges

if TYPE_CHECKING:
    from rondel.cells.base import LayerParameters


def prepare(
    work: Workspace, layers: Sequence[LayerParameters], embedding: Array | None
) -> list[Task]:
    """Tasks that pack the weights, and make the table of what each token adds to the gates."""
    shape = work.shape
    for layer, parameters in enumerate(layers):
        work.bias[layer] = work.slots.bias(parameters.bias_ih, parameters.bias_hh, shape.units)
    if embedding is not None and shape.vocabulary:
        to_columns(embedding, work.source)
    return [
        partial(_prepare_units, work, layer, parameters, begin, end)
        for layer, parameters in enumerate(layers)
        for begin, end in unit_ranges(shape.units)
    ]


def _prepare_units(
    work: Workspace, layer: int, parameters: LayerParameters, begin: int, end: int
) -> None:
    shape, hidden, inputs = work.shape, work.gates_of_hidden, work.gates_of_input
    size = shape.hidden_size
    weight = parameters.weight_hh
    pack_gates(weight, size, hidden, begin, end, work.hidden_panels[layer])
    pack_gates_back(weight, size, hidden, begin, end, work.hidden_panels_back[layer])
    by_token = layer == 0 and shape.vocabulary > 0
    if by_token and not shape.embedded:
        _one_hot_table(work, parameters.weight_ih, begin, end)
        return
    weight, panels = parameters.weight_ih, work.input_panels[layer]
    pack_gates(weight, size, inputs, begin, end, panels)
    pack_gates_back(weight, size, inputs, begin, end, work.input_panels_back[layer])
    if by_token:
        fill_table(work.layers, begin, end)


def _one_hot_table(work: Workspace, weight_ih: Array, begin: int, end: int) -> None:
    """A token's gates are the bias and its column of the weights."""
    size, slots = work.shape.hidden_size, work.slots
    for unit in range(begin, end):
        width = min(PANEL, size - unit * PANEL)
        table = work.table[unit].reshape(-1, slots.count, PANEL)
        table[:] = work.bias[0, unit]
        for slot, gate in enumerate(slots.input, slots.input_begin):
            first = gate * size + unit * PANEL
            table[:, slot, :width] += weight_ih[first : first + width].T


def set_state(work: Workspace, state: Sequence[Array]) -> None:
    """Begin from a state: (L, B, H) for each of the cell's states."""
    steps = work.shape.steps
    for layer in range(work.shape.num_layers):
        for begin, rows in work.blocks:
            first = (steps + 1) * begin
            to_columns(state[0][layer, begin : begin + rows], work.h[layer], first)
            if work.c is not None:
                to_columns(state[1][layer, begin : begin + rows], work.c[layer], first)


def last_state(work: Workspace) -> tuple[Array, ...]:
    """The state after the last step: (L, B, H) for each of the cell's states."""
    return _states_at(work, work.h, work.shape.steps), *(
        () if work.c is None else (_states_at(work, work.c, work.shape.steps),)
    )


def _states_at(work: Workspace, states: Array, step: int) -> Array:
    shape = work.shape
    result = np.empty((shape.num_layers, shape.batch, shape.hidden_size), np.float32)
    for layer in range(shape.num_layers):
        for begin, rows in work.blocks:
            first = (shape.steps + 1) * begin + step * rows
            result[layer, begin : begin + rows] = from_columns(
                states[layer], shape.hidden_size, first, rows
            )
    return result


def set_source(work: Workspace, x_TBE: Array) -> list[Task]:
    """Tasks that lay out an input of numbers."""

    def lay_out(begin: int, rows: int) -> None:
        part = x_TBE[:, begin : begin + rows].reshape(-1, x_TBE.shape[2])
        to_columns(part, work.source, work.shape.steps * begin)

    return [partial(lay_out, begin, rows) for begin, rows in work.blocks]


def forward_block(work: Workspace, begin: int, rows: int, tokens_TB: Tokens = NO_TOKENS) -> None:
    """All layers' steps for one block of the batch's rows."""
    forward(work.layers, begin, rows, tokens_TB)


def output_block(work: Workspace, begin: int, rows: int, out_TBH: Array) -> None:
    """Copy a block's outputs of the last layer to where they belong."""
    steps = work.shape.steps
    masked = work.masked[-1]
    columns, first = (
        (work.h[-1], (steps + 1) * begin + rows) if masked is None else (masked, steps * begin)
    )
    part = columns[:, first : first + steps * rows].reshape(-1, steps, rows, PANEL)
    size = work.shape.hidden_size
    target = out_TBH[:, begin : begin + rows]
    joined = part.transpose(1, 2, 0, 3)
    if size % PANEL == 0:
        target.reshape(steps, rows, -1, PANEL)[:] = joined
    else:
        target[:] = joined.reshape(steps, rows, -1)[:, :, :size]


def set_output_gradient(work: Workspace, begin: int, rows: int, d_out_TBH: Array) -> None:
    """Lay out the gradient of a block's outputs of the last layer."""
    first = (work.shape.steps + 1) * begin + rows
    part = d_out_TBH[:, begin : begin + rows].reshape(-1, work.shape.hidden_size)
    to_columns(part, work.d_h[-1], first)


def backward_block(
    work: Workspace, begin: int, rows: int, d_state: Sequence[Array | None] = ()
) -> None:
    """Back through all layers; `d_state` are gradients of the last state, as `last_state` has it.

    The gradient of the last layer's outputs is in `d_h` already.
    """
    shape = work.shape
    first = (shape.steps + 1) * begin
    for layer in range(shape.num_layers - 1, -1, -1):
        work.d_h[layer, :, first : first + rows] = 0
        work.d_c[layer, :, begin : begin + rows] = 0
        block = slice(begin, begin + rows)
        # The last state is what the layer put out, before any dropout.
        to_states(work.layers, layer, begin, rows)
        if len(d_state) > 0 and (d_h := d_state[0]) is not None:
            last = slice(first + shape.steps * rows, first + (shape.steps + 1) * rows)
            extra = np.zeros((shape.units, rows, PANEL), np.float32)
            to_columns(d_h[layer, block], extra)
            work.d_h[layer, :, last] += extra
        if len(d_state) > 1 and (d_c := d_state[1]) is not None:
            to_columns(d_c[layer, block], work.d_c[layer], begin)
        backward(work.layers, layer, begin, rows)


def state_gradient(work: Workspace) -> tuple[Array, ...]:
    """The gradient of the state that the pass began from: (L, B, H) for each."""
    shape = work.shape
    d_h = _states_at(work, work.d_h, 0)
    if work.c is None:
        return (d_h,)
    d_c = np.stack([from_columns(part, shape.hidden_size, 0, shape.batch) for part in work.d_c])
    return d_h, d_c


def source_gradient(work: Workspace, out_TBE: Array) -> None:
    """The gradient of an input of numbers, where it was asked for."""
    steps, size = work.shape.steps, work.shape.input_size
    for begin, rows in work.blocks:
        first = (steps + 1) * begin + rows
        part = from_columns(work.d_source, size, first, steps * rows)
        out_TBE[:, begin : begin + rows] = part.reshape(steps, rows, size)
