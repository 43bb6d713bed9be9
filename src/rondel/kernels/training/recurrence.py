"""One recurrent layer over a block of rows: forward, and back through time.

A batch's rows are split into blocks, and a block goes through all steps of all layers by itself, so
that threads do not wait for one another. Everything lies in columns of 16 units, and in a column
row by row: `h[unit // 16, row, unit % 16]`. The rows of a block are together, step after step:

    gates and the like   row  T * begin + t * rows + i
    states               row  (T + 1) * begin + t * rows + i, where step 0 is the initial state

for the block's row i of `rows`, the batch's row `begin + i`. A `Layer` is a line of numbers, most
of them addresses: the arrays are kept by `rondel.kernels.training.workspace`.

T steps, B batch rows; S slots, of which a matmul feeds those of its own (see `pointwise.SLOTS`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.simd import pointwise
from rondel.kernels.simd.matmul import BYTES, PANEL, multiply
from rondel.kernels.simd.pointwise import GRU, LSTM, RNN_TANH
from rondel.kernels.simd.rows import copy_row, multiply_row

Layer = npt.NDArray[np.int64]
Tokens = npt.NDArray[np.int64]

# What stands where in a layer's line: sizes first, then addresses.
(
    CELL,
    STEPS,
    BATCH,
    UNITS,  # columns of 16 units
    SLOTS,
    INPUT_SLOTS,
    INPUT_BEGINS,
    HIDDEN_SLOTS,
    HIDDEN_BEGINS,
    TABLE,  # address of input gates by token (units, V, slots * 16); 0 for an input of numbers
    VOCABULARY,
    INPUT_UNITS,
    SOURCE,  # the input's columns
    SOURCE_ROWS,  # rows of a column of it
    SOURCE_STATES,  # 1 if its rows are those of states, else 0
    D_SOURCE,  # where its gradient goes, which lies as states do; 0 if nobody asks
    INPUT_PANELS,
    INPUT_PANELS_BACK,
    HIDDEN_PANELS,
    HIDDEN_PANELS_BACK,
    BIAS,
    GATES,
    H,
    C,
    TANH_C,
    D_H,
    D_C,
    MASK,  # what the output is multiplied by (dropout); 0 for nothing
    MASK_STEPS,  # steps that the mask has: T, or 1 if one serves all
    MASKED,  # the product
    LAYER_SIZE,
) = range(31)

ROWS_AT_A_TIME = 96


@compiled
def input_gates(
    rows: int,
    source: int,
    source_rows: int,
    input_units: int,
    panels: int,
    bias: int,
    units: int,
    slots: int,
    input_slots: int,
    input_begins: int,
    gates: int,
    gates_rows: int,
) -> None:
    """Gates of `rows` rows from an input of numbers: the bias, and a matmul with it."""
    line, depth = slots * PANEL, input_units * PANEL
    for unit in range(units):
        block = gates + BYTES * unit * gates_rows * line
        for row in range(rows):
            copy_row(line, bias + BYTES * unit * line, block + BYTES * row * line)
        multiply(
            rows,
            input_slots,
            source,
            PANEL,
            1,
            source_rows * PANEL,
            PANEL,
            input_units,
            panels + BYTES * unit * input_slots * depth * PANEL,
            depth * PANEL,
            block + BYTES * input_begins * PANEL,
            line,
            PANEL,
            1,
        )


@compiled
def _input_gates_of_block(layer: Layer, begin: int, rows: int) -> None:
    steps, line = layer[STEPS], layer[SLOTS] * PANEL
    total = steps * rows
    first = steps * begin
    source_first = first + layer[SOURCE_STATES] * (begin + rows)
    for row in range(0, total, ROWS_AT_A_TIME):
        input_gates(
            min(ROWS_AT_A_TIME, total - row),
            layer[SOURCE] + BYTES * (source_first + row) * PANEL,
            layer[SOURCE_ROWS],
            layer[INPUT_UNITS],
            layer[INPUT_PANELS],
            layer[BIAS],
            layer[UNITS],
            layer[SLOTS],
            layer[INPUT_SLOTS],
            layer[INPUT_BEGINS],
            layer[GATES] + BYTES * (first + row) * line,
            steps * layer[BATCH],
        )


@compiled
def forward(layer: Layer, begin: int, rows: int, tokens_TB: Tokens) -> None:
    """All steps of a block, each state and each gate kept; then dropout, where there is a mask."""
    if layer[TABLE] == 0:
        _input_gates_of_block(layer, begin, rows)
    steps, units, line = layer[STEPS], layer[UNITS], layer[SLOTS] * PANEL
    depth = units * PANEL
    gates_column = BYTES * steps * layer[BATCH] * line
    states = (steps + 1) * layer[BATCH] * PANEL
    for step in range(steps):
        state = BYTES * ((steps + 1) * begin + step * rows) * PANEL
        gates_row = BYTES * (steps * begin + step * rows) * line
        for unit in range(units):
            gates = layer[GATES] + unit * gates_column + gates_row
            if layer[TABLE] != 0:
                table = layer[TABLE] + BYTES * unit * layer[VOCABULARY] * line
                for row in range(rows):
                    token = tokens_TB[step, begin + row]
                    copy_row(line, table + BYTES * token * line, gates + BYTES * row * line)
            multiply(
                rows,
                layer[HIDDEN_SLOTS],
                layer[H] + state,
                PANEL,
                1,
                states,
                PANEL,
                units,
                layer[HIDDEN_PANELS] + BYTES * unit * layer[HIDDEN_SLOTS] * depth * PANEL,
                depth * PANEL,
                gates + BYTES * layer[HIDDEN_BEGINS] * PANEL,
                line,
                PANEL,
                1,
            )
            here = state + BYTES * unit * states
            after = here + BYTES * rows * PANEL
            tanh_c = BYTES * (unit * steps * layer[BATCH] + steps * begin + step * rows) * PANEL
            _pointwise_forward(layer, rows, gates, here, after, tanh_c)
    if layer[MASK] != 0:
        _mask(layer, begin, rows, layer[H], layer[MASKED], 0)


@compiled
def _pointwise_forward(
    layer: Layer, rows: int, gates: int, here: int, after: int, tanh_c: int
) -> None:
    cell = layer[CELL]
    if cell == LSTM:
        pointwise.lstm_forward_kept(
            rows, gates, layer[C] + here, layer[C] + after, layer[H] + after, layer[TANH_C] + tanh_c
        )
    elif cell == GRU:
        pointwise.gru_forward_kept(rows, gates, layer[H] + here, layer[H] + after)
    elif cell == RNN_TANH:
        pointwise.tanh_forward_kept(rows, gates, layer[H] + after)
    else:
        pointwise.relu_forward_kept(rows, gates, layer[H] + after)


@compiled
def _mask(
    layer: Layer, begin: int, rows: int, source: int, target: int, target_states: int
) -> None:
    """Multiply a block's outputs, which lie as states do, by the mask."""
    steps, batch = layer[STEPS], layer[BATCH]
    mask_steps = layer[MASK_STEPS]
    for unit in range(layer[UNITS]):
        source_row = unit * (steps + 1) * batch + (steps + 1) * begin + rows
        target_row = unit * steps * batch + steps * begin
        if target_states == 1:
            target_row = source_row
        mask_row = unit * mask_steps * batch + mask_steps * begin
        for step in range(steps):
            offset = step * rows
            multiply_row(
                rows * PANEL,
                source + BYTES * (source_row + offset) * PANEL,
                layer[MASK] + BYTES * (mask_row + min(offset, (mask_steps - 1) * rows)) * PANEL,
                target + BYTES * (target_row + offset) * PANEL,
            )


@compiled
def to_states(layer: Layer, begin: int, rows: int) -> None:
    """Make gradients of a block's outputs, in D_H, those of its states: dropout is between them."""
    if layer[MASK] != 0:
        _mask(layer, begin, rows, layer[D_H], layer[D_H], 1)


@compiled
def backward(layer: Layer, begin: int, rows: int) -> None:
    """Back through all steps of a block, and to its input where its gradient is asked for.

    D_H holds the gradients of the states, which `to_states` has made of those of the outputs, D_C
    (units, B, 16) that of the last c. After it, GATES holds the slots' gradients, step 0 of D_H and
    D_C those of the initial state.
    """
    steps, units, line = layer[STEPS], layer[UNITS], layer[SLOTS] * PANEL
    gates_rows = steps * layer[BATCH]
    states = (steps + 1) * layer[BATCH] * PANEL
    depth = layer[HIDDEN_SLOTS] * PANEL
    for step in range(steps - 1, -1, -1):
        state = BYTES * ((steps + 1) * begin + step * rows) * PANEL
        gates = layer[GATES] + BYTES * (steps * begin + step * rows) * line
        tanh_c = layer[TANH_C] + BYTES * (steps * begin + step * rows) * PANEL
        for unit in range(units):
            here = state + BYTES * unit * states
            _pointwise_backward(
                layer,
                rows,
                gates + BYTES * unit * gates_rows * line,
                here,
                here + BYTES * rows * PANEL,
                tanh_c + BYTES * unit * gates_rows * PANEL,
                layer[D_C] + BYTES * (unit * layer[BATCH] + begin) * PANEL,
            )
        multiply(
            rows,
            units,
            gates + BYTES * layer[HIDDEN_BEGINS] * PANEL,
            line,
            1,
            gates_rows * line,
            depth,
            units,
            layer[HIDDEN_PANELS_BACK],
            units * depth * PANEL,
            layer[D_H] + state,
            PANEL,
            states,
            1,
        )
    if layer[D_SOURCE] != 0:
        _to_source(layer, begin, rows)


@compiled
def _pointwise_backward(
    layer: Layer, rows: int, gates: int, here: int, after: int, tanh_c: int, d_c: int
) -> None:
    cell = layer[CELL]
    if cell == LSTM:
        pointwise.lstm_backward(rows, gates, layer[C] + here, tanh_c, layer[D_H] + after, d_c)
    elif cell == GRU:
        pointwise.gru_backward(rows, gates, layer[H] + here, layer[D_H] + after, layer[D_H] + here)
    elif cell == RNN_TANH:
        pointwise.tanh_backward(rows, gates, layer[D_H] + after)
    else:
        pointwise.relu_backward(rows, gates, layer[D_H] + after)


@compiled
def source_gradient(
    rows: int,
    gates: int,
    gates_rows: int,
    units: int,
    slots: int,
    input_slots: int,
    input_begins: int,
    panels: int,
    input_units: int,
    d_source: int,
    d_source_rows: int,
) -> None:
    """Gradients of an input of numbers, for `rows` rows, from those of the gates."""
    line, depth = slots * PANEL, input_slots * PANEL
    multiply(
        rows,
        input_units,
        gates + BYTES * input_begins * PANEL,
        line,
        1,
        gates_rows * line,
        depth,
        units,
        panels,
        units * depth * PANEL,
        d_source,
        PANEL,
        d_source_rows * PANEL,
        0,
    )


@compiled
def _to_source(layer: Layer, begin: int, rows: int) -> None:
    steps, line = layer[STEPS], layer[SLOTS] * PANEL
    total = steps * rows
    for row in range(0, total, ROWS_AT_A_TIME):
        source_gradient(
            min(ROWS_AT_A_TIME, total - row),
            layer[GATES] + BYTES * (steps * begin + row) * line,
            steps * layer[BATCH],
            layer[UNITS],
            layer[SLOTS],
            layer[INPUT_SLOTS],
            layer[INPUT_BEGINS],
            layer[INPUT_PANELS_BACK],
            layer[INPUT_UNITS],
            layer[D_SOURCE] + BYTES * ((steps + 1) * begin + rows + row) * PANEL,
            (steps + 1) * layer[BATCH],
        )
