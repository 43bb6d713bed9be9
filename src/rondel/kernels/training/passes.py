"""A recurrent stack's passes over a workspace: weights packed, forward, back, gradients.

T steps, B batch rows, H hidden size, L layers, V vocabulary, E input size, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from rondel.kernels.simd import packing
from rondel.kernels.simd.matmul import PANEL
from rondel.kernels.simd.packing import columns_of, from_columns, to_columns
from rondel.kernels.threads.team import Task
from rondel.kernels.training import gradients, recurrence
from rondel.kernels.training.recurrence import Tokens
from rondel.kernels.training.workspace import Array, Workspace

if TYPE_CHECKING:
    from rondel.cells.base import LayerParameters

NO_TOKENS: Tokens = np.zeros((0, 0), np.int64)
# Columns of units that one task packs, or sums the gradients of.
UNITS_A_TASK = 4


def unit_ranges(units: int) -> list[tuple[int, int]]:
    """Columns of units, a task's worth at a time."""
    return [(begin, min(begin + UNITS_A_TASK, units)) for begin in range(0, units, UNITS_A_TASK)]


def prepare(
    work: Workspace, layers: Sequence[LayerParameters], embedding: Array | None
) -> list[Task]:
    """Tasks that pack the weights, and make the table of what each token adds to the gates."""
    shape = work.shape
    for layer, parameters in enumerate(layers):
        work.bias[layer] = packing.slot_bias(
            shape.cell, parameters.bias_ih, parameters.bias_hh, shape.units
        )
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
    packing.pack_gates(weight, size, hidden, begin, end, work.hidden_panels[layer])
    packing.pack_gates_back(weight, size, hidden, begin, end, work.hidden_panels_back[layer])
    by_token = layer == 0 and shape.vocabulary > 0
    if by_token and not shape.embedded:
        _one_hot_table(work, parameters.weight_ih, begin, end)
        return
    weight, panels = parameters.weight_ih, work.input_panels[layer]
    packing.pack_gates(weight, size, inputs, begin, end, panels)
    packing.pack_gates_back(weight, size, inputs, begin, end, work.input_panels_back[layer])
    if by_token:
        recurrence.input_gates(
            shape.vocabulary,
            work.source.ctypes.data,
            shape.vocabulary,
            columns_of(shape.input_size),
            panels[begin * len(inputs) :].ctypes.data,
            work.bias[0, begin:].ctypes.data,
            end - begin,
            work.slots.in_all,
            len(inputs),
            work.slots.input_begins,
            work.table[begin:].ctypes.data,
            shape.vocabulary,
        )


def _one_hot_table(work: Workspace, weight_ih: Array, begin: int, end: int) -> None:
    """A token's gates are the bias and its column of the weights."""
    size, slots = work.shape.hidden_size, work.slots
    for unit in range(begin, end):
        width = min(PANEL, size - unit * PANEL)
        table = work.table[unit].reshape(-1, slots.in_all, PANEL)
        table[:] = work.bias[0, unit]
        for slot, gate in enumerate(slots.of_input, slots.input_begins):
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

    return [partial(lay_out, int(begin), int(rows)) for begin, rows in work.blocks]


def forward_block(work: Workspace, begin: int, rows: int, tokens_TB: Tokens = NO_TOKENS) -> None:
    """All layers' steps for one block of the batch's rows."""
    for line in work.lines:
        recurrence.forward(line, begin, rows, tokens_TB)


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
        members = slice(begin, begin + rows)
        # The last state is what the layer put out, before any dropout.
        recurrence.to_states(work.lines[layer], begin, rows)
        if len(d_state) > 0 and (d_h := d_state[0]) is not None:
            last = slice(first + shape.steps * rows, first + (shape.steps + 1) * rows)
            extra = np.zeros((shape.units, rows, PANEL), np.float32)
            to_columns(d_h[layer, members], extra)
            work.d_h[layer, :, last] += extra
        if len(d_state) > 1 and (d_c := d_state[1]) is not None:
            to_columns(d_c[layer, members], work.d_c[layer], begin)
        recurrence.backward(work.lines[layer], begin, rows)


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


class Gradients:
    """Sums of the parameters' gradients over all rows, in padded arrays."""

    def __init__(self, work: Workspace, tokens_TB: Tokens = NO_TOKENS) -> None:
        shape, units = work.shape, work.shape.units
        self._work, self._tokens_TB = work, tokens_TB
        gates = len(work.slots.of_hidden)
        sizes = [columns_of(shape.input_size)] + [units] * (shape.num_layers - 1)
        padded = units * PANEL
        self.hidden = [np.empty((gates, padded, padded), np.float32) for _ in sizes]
        self.input = [np.empty((gates, padded, size * PANEL), np.float32) for size in sizes]
        self.sums = np.zeros((shape.num_layers, units, work.slots.in_all, PANEL), np.float32)

    def tasks(self) -> list[Task]:
        """What there is to sum."""
        return [
            partial(self._sum_units, layer, begin, end)
            for layer in range(self._work.shape.num_layers - 1, -1, -1)
            for begin, end in unit_ranges(self._work.shape.units)
        ]

    def _sum_units(self, layer: int, begin: int, end: int) -> None:
        work, shape = self._work, self._work.shape
        steps, count = shape.steps, shape.steps * shape.batch
        line, gates = work.slots.in_all * PANEL, work.gates[layer].ctypes.data
        runs = np.array(
            [(steps * b, (steps + 1) * b, steps * rows) for b, rows in work.blocks], np.int64
        )
        hidden = (work.slots.hidden_begins, work.gates_of_hidden, begin, end)
        states = (steps + 1) * shape.batch
        gradients.weight_gradient(
            gates, count, work.slots.in_all, *hidden,
            work.h[layer].ctypes.data, states, shape.units, runs, self.hidden[layer],
        )  # fmt: skip
        if layer == 0 and shape.vocabulary:
            self._sum_by_token(begin, end)
            return
        for unit in range(begin, end):
            total = self.sums[layer, unit].ctypes.data
            gradients.sum_of_rows(gates, count, line, unit, total)
        source, source_rows, columns = work.lines[layer, SOURCE_FIELDS].tolist()
        if work.lines[layer, recurrence.SOURCE_STATES]:
            runs[:, 1] += work.blocks[:, 1]
        else:
            runs[:, 1] = runs[:, 0]
        gradients.weight_gradient(
            gates, count, work.slots.in_all,
            work.slots.input_begins, work.gates_of_input, begin, end,
            source, source_rows, columns, runs, self.input[layer],
        )  # fmt: skip

    def _sum_by_token(self, begin: int, end: int) -> None:
        work, shape = self._work, self._work.shape
        line, gates = work.slots.in_all * PANEL, work.gates[0].ctypes.data
        d_table = work.d_table
        d_table[begin:end] = 0
        for unit in range(begin, end):
            gradients.sums_by_token(
                gates, line, unit, shape.steps, work.blocks, self._tokens_TB,
                d_table.ctypes.data, shape.vocabulary,
            )  # fmt: skip
        # Gradients that are infinite are told of once, by what is made of all of them.
        with np.errstate(invalid="ignore", over="ignore"):
            sums = d_table[begin:end].sum(axis=1)
        self.sums[0, begin:end] = sums.reshape(end - begin, work.slots.in_all, PANEL)
        if shape.embedded:
            everything = np.array([(0, 0, shape.vocabulary)], np.int64)
            gradients.weight_gradient(
                d_table.ctypes.data, shape.vocabulary, work.slots.in_all,
                work.slots.input_begins, work.gates_of_input, begin, end,
                work.source.ctypes.data, shape.vocabulary, columns_of(shape.input_size),
                everything, self.input[0],
            )  # fmt: skip
        else:
            by_slot = d_table[begin:end].reshape(end - begin, shape.vocabulary, -1, PANEL)
            for slot, gate in enumerate(work.slots.of_input, work.slots.input_begins):
                rows = by_slot[:, :, slot].swapaxes(1, 2).reshape(-1, shape.vocabulary)
                units = slice(begin * PANEL, end * PANEL)
                self.input[0][gate, units, : shape.vocabulary] = rows

    def layer(self, layer: int) -> tuple[Array, Array, Array, Array]:
        """One layer's gradients, shaped and ordered as its `LayerParameters`."""
        shape = self._work.shape
        size = shape.hidden_size
        inputs = shape.input_size if layer == 0 else size
        return (
            self.input[layer][:, :size, :inputs].reshape(-1, inputs),
            self.hidden[layer][:, :size, :size].reshape(-1, size),
            *packing.bias_gradients(shape.cell, self.sums[layer], size),
        )

    def embedding(self) -> Array:
        """The gradient of the tokens' vectors (V, E)."""
        work, shape, slots = self._work, self._work.shape, self._work.slots
        recurrence.source_gradient(
            shape.vocabulary,
            work.d_table.ctypes.data,
            shape.vocabulary,
            shape.units,
            slots.in_all,
            len(slots.of_input),
            slots.input_begins,
            work.input_panels_back[0].ctypes.data,
            columns_of(shape.input_size),
            work.d_source.ctypes.data,
            shape.vocabulary,
        )
        # A copy: of a single column it would be the workspace's own memory.
        return np.array(from_columns(work.d_source, shape.input_size, 0, shape.vocabulary))


SOURCE_FIELDS = [recurrence.SOURCE, recurrence.SOURCE_ROWS, recurrence.INPUT_UNITS]
