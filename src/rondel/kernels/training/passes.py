"""A recurrent stack's training step over a workspace: pack the weights, forward, backward.

T steps, B batch rows, H hidden size, L layers, V vocabulary, E input size, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from rondel.kernels.simd.packing import pack_gates, pack_gates_back
from rondel.kernels.simd.unit_groups import PANEL, Array, from_groups, to_groups
from rondel.kernels.threads.team import Task
from rondel.kernels.training.backward import backward, to_states
from rondel.kernels.training.forward import fill_table, forward
from rondel.kernels.training.layer_records import NO_TOKENS, Tokens
from rondel.kernels.training.workspace import Workspace, group_ranges

if TYPE_CHECKING:
    from rondel.cells.base import LayerParameters


def prepare(
    work: Workspace, layers: Sequence[LayerParameters], embedding: Array | None
) -> list[Task]:
    """Return tasks that pack the weights, and compute the table of all tokens' input gates."""
    shape = work.shape
    for layer, parameters in enumerate(layers):
        work.bias[layer] = work.slots.bias(parameters.bias_ih, parameters.bias_hh, shape.groups)
    if embedding is not None and shape.vocabulary:
        to_groups(embedding, work.source)
    return [
        partial(_prepare_groups, work, layer, parameters, begin, end)
        for layer, parameters in enumerate(layers)
        for begin, end in group_ranges(shape.groups)
    ]


def _prepare_groups(
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
    """Compute the table for one-hot input: the bias and the token's column of the weights."""
    size, slots = work.shape.hidden_size, work.slots
    for group in range(begin, end):
        width = min(PANEL, size - group * PANEL)
        table = work.table[group].reshape(-1, slots.count, PANEL)
        table[:] = work.bias[0, group]
        for slot, gate in enumerate(slots.input, slots.input_begin):
            first = gate * size + group * PANEL
            table[:, slot, :width] += weight_ih[first : first + width].T


def set_state(work: Workspace, state: Sequence[Array]) -> None:
    """Set the initial state: (L, B, H) for each of the cell's states."""
    steps = work.shape.steps
    for layer in range(work.shape.num_layers):
        for begin, rows in work.blocks:
            first = (steps + 1) * begin
            to_groups(state[0][layer, begin : begin + rows], work.h[layer], first)
            if work.c is not None:
                to_groups(state[1][layer, begin : begin + rows], work.c[layer], first)


def last_state(work: Workspace) -> tuple[Array, ...]:
    """Return the state after the last step: (L, B, H) for each of the cell's states."""
    return _states_at(work, work.h, work.shape.steps), *(
        () if work.c is None else (_states_at(work, work.c, work.shape.steps),)
    )


def _states_at(work: Workspace, states: Array, step: int) -> Array:
    shape = work.shape
    result = np.empty((shape.num_layers, shape.batch, shape.hidden_size), np.float32)
    for layer in range(shape.num_layers):
        for begin, rows in work.blocks:
            first = (shape.steps + 1) * begin + step * rows
            result[layer, begin : begin + rows] = from_groups(
                states[layer], shape.hidden_size, first, rows
            )
    return result


def set_source(work: Workspace, x_TBE: Array) -> list[Task]:
    """Return tasks that copy a dense input into the workspace."""

    def copy(begin: int, rows: int) -> None:
        part = x_TBE[:, begin : begin + rows].reshape(-1, x_TBE.shape[2])
        to_groups(part, work.source, work.shape.steps * begin)

    return [partial(copy, begin, rows) for begin, rows in work.blocks]


def forward_block(work: Workspace, begin: int, rows: int, tokens_TB: Tokens = NO_TOKENS) -> None:
    """Run all layers' steps for one block of the batch's rows."""
    forward(work.layers, begin, rows, tokens_TB)


def output_block(work: Workspace, begin: int, rows: int, out_TBH: Array) -> None:
    """Copy a block's outputs of the last layer into `out_TBH`."""
    steps = work.shape.steps
    masked = work.masked[-1]
    outputs, first = (
        (work.h[-1], (steps + 1) * begin + rows) if masked is None else (masked, steps * begin)
    )
    part = outputs[:, first : first + steps * rows].reshape(-1, steps, rows, PANEL)
    size = work.shape.hidden_size
    target = out_TBH[:, begin : begin + rows]
    joined = part.transpose(1, 2, 0, 3)
    if size % PANEL == 0:
        target.reshape(steps, rows, -1, PANEL)[:] = joined
    else:
        target[:] = joined.reshape(steps, rows, -1)[:, :, :size]


def set_output_gradient(work: Workspace, begin: int, rows: int, d_out_TBH: Array) -> None:
    """Copy the gradient of a block's outputs of the last layer into the workspace."""
    first = (work.shape.steps + 1) * begin + rows
    part = d_out_TBH[:, begin : begin + rows].reshape(-1, work.shape.hidden_size)
    to_groups(part, work.d_h[-1], first)


def backward_block(
    work: Workspace, begin: int, rows: int, d_state: Sequence[Array | None] = ()
) -> None:
    """Go back through all layers; `d_state` are the gradients of `last_state`.

    The gradient of the last layer's outputs must be in `d_h`.
    """
    shape = work.shape
    first = (shape.steps + 1) * begin
    for layer in range(shape.num_layers - 1, -1, -1):
        work.d_h[layer, :, first : first + rows] = 0
        work.d_c[layer, :, begin : begin + rows] = 0
        block = slice(begin, begin + rows)
        # First, since `d_state` is the gradient of states before dropout.
        to_states(work.layers, layer, begin, rows)
        if len(d_state) > 0 and (d_h := d_state[0]) is not None:
            last = slice(first + shape.steps * rows, first + (shape.steps + 1) * rows)
            extra = np.zeros((shape.groups, rows, PANEL), np.float32)
            to_groups(d_h[layer, block], extra)
            work.d_h[layer, :, last] += extra
        if len(d_state) > 1 and (d_c := d_state[1]) is not None:
            to_groups(d_c[layer, block], work.d_c[layer], begin)
        backward(work.layers, layer, begin, rows)


def state_gradient(work: Workspace) -> tuple[Array, ...]:
    """Return the gradient of the initial state: (L, B, H) for each of the cell's states."""
    shape = work.shape
    d_h = _states_at(work, work.d_h, 0)
    if work.c is None:
        return (d_h,)
    d_c = np.stack([from_groups(part, shape.hidden_size, 0, shape.batch) for part in work.d_c])
    return d_h, d_c


def source_gradient(work: Workspace, out_TBE: Array) -> None:
    """Copy the gradient of a dense input to `out_TBE`; see `request_source_gradient`."""
    steps, size = work.shape.steps, work.shape.input_size
    for begin, rows in work.blocks:
        first = (steps + 1) * begin + rows
        part = from_groups(work.d_source, size, first, steps * rows)
        out_TBE[:, begin : begin + rows] = part.reshape(steps, rows, size)
