"""A recurrent stack run forward only: whole sequences, and text that feeds itself.

A `Job` is a line of numbers, sizes first and then addresses; each layer has a line of its own. The
arrays are kept by `rondel.kernels.inference.runs`. T steps, B rows (streams), units of 16.

Layer `l`'s hidden states before step `t` begin at `H + 4 (t H_STEP + l H_LAYER)`; there a unit of a
row lies at `unit H_UNIT + row H_ROW`. Gates of one layer at a time lie as
`z[unit, t * B + row, slot, 16]`. Several members share out the units, and wait for each other
after every step of a layer; each number is one member's, and its order of sums always the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.inference.drawing import draw, likeliest
from rondel.kernels.simd import pointwise
from rondel.kernels.simd.int8 import add_product, largest_activity, quantise_row
from rondel.kernels.simd.matmul import PANEL, multiply
from rondel.kernels.simd.pointwise import GRU, LSTM, RNN_RELU, RNN_TANH
from rondel.kernels.simd.rows import copy_row, number_at, set_number
from rondel.kernels.threads.barrier import wait_for_all

Line = npt.NDArray[np.int64]
Integers = npt.NDArray[np.int64]

# What stands where in a job.
(
    CELL,
    LAYERS,
    UNITS,
    SLOTS,
    INPUT_SLOTS,
    INPUT_BEGINS,
    HIDDEN_SLOTS,
    HIDDEN_BEGINS,
    STEPS,
    ROWS,
    MEMBERS,
    ARRIVALS,  # where members count themselves
    H,
    H_STEP,
    H_LAYER,
    H_UNIT,
    H_ROW,
    C,
    C_LAYER,
    C_UNIT,
    GATES,
    GATES_ROWS,
    EMBEDDING,  # of every token (V, units * 16), where there is no table
    HEAD_PANELS,
    HEAD_START,  # int8: see `quantised`; the same for the others of the name
    HEAD_SCALE,
    HEAD_BIAS,
    HEAD_COLUMNS,  # panels
    LOGITS,  # 0 if nobody asks
    LIMIT,  # the largest activation
    SCRATCH,  # each member's own
    SCRATCH_SIZE,
    SCRATCH_ROW,  # bytes of a row of activations
    JOB_SIZE,
) = range(34)

# What stands where in a layer's line.
(
    TABLE,  # first layer: gates by token (V, units, slots * 16), or 0
    BIAS,
    INPUT_UNITS,
    INPUT_PANELS,
    INPUT_START,  # 0 if these weights are not quantised
    INPUT_SCALE,
    HIDDEN_PANELS,
    HIDDEN_START,
    HIDDEN_SCALE,
    LAYER_SIZE,
) = range(10)

# How a stream takes its next token: by itself (the caller does), or here.
BY_CALLER, BY_DRAW, BY_LIKELIEST, BY_DRAW_IF_WORD_BEGINS = range(4)

FLOAT = 4


@compiled
def _share(count: int, member: int, members: int) -> int:
    """Where a member's part of so many things begins."""
    return count * member // members


@compiled
def _quantise(
    job: Line, rows: int, source: int, distance: int, row: int, units: int, target: int
) -> None:
    """Rows of activations in 16 bits, and behind them what 1 stands for in each."""
    limit = np.float32(job[LIMIT])
    meaning = target + rows * job[SCRATCH_ROW]
    for i in range(rows):
        place = source + FLOAT * i * row
        largest = np.float32(1.0)
        # All other states are within ±1.
        if job[CELL] == RNN_RELU:
            largest = largest_activity(units, place, distance)
        factor = np.float32(0.0)
        if largest > 0:
            factor = limit / largest
        quantise_row(units, place, distance, factor, target + i * job[SCRATCH_ROW])
        set_number(meaning + FLOAT * i, largest / limit)


@compiled
def _add_quantised(
    job: Line,
    rows: int,
    units: int,
    x: int,
    panels: int,
    start: int,
    scale: int,
    first: int,
    count: int,
    z: int,
    z_row: int,
    z_panel: int,
) -> None:
    """z += w x for rows of activations, panels `first` and so many more; at most four at once."""
    meaning = x + rows * job[SCRATCH_ROW]
    w_panel = units * PANEL * PANEL
    for done in range(0, count, 4):
        panel = first + done
        for row in range(rows):
            add_product(
                min(4, count - done),
                units * (PANEL // 4),
                x + row * job[SCRATCH_ROW],
                panels + panel * w_panel,
                w_panel,
                start + FLOAT * panel * PANEL,
                scale + FLOAT * panel * PANEL,
                number_at(meaning + FLOAT * row),
                z + FLOAT * (row * z_row + done * z_panel),
                z_panel,
            )


@compiled
def _add_exact(
    rows: int,
    units: int,
    source: int,
    distance: int,
    row: int,
    panels: int,
    count: int,
    z: int,
    z_row: int,
    z_panel: int,
) -> None:
    """z += w x in single precision, for `count` panels."""
    blocks, k_block = units, PANEL
    if distance == PANEL:
        blocks, k_block = 1, units * PANEL
    depth = units * PANEL
    multiply(
        rows, count, source, row, 1, distance, k_block, blocks, panels, depth * PANEL,
        z, z_row, z_panel, 1,
    )  # fmt: skip


@compiled
def _add_gates(
    job: Line,
    rows: int,
    units: int,
    source: int,
    distance: int,
    row: int,
    activations: int,
    panels: int,
    start: int,
    scale: int,
    slots: int,
    begins: int,
    first_row: int,
    begin: int,
    end: int,
) -> None:
    """One side's products into the gates of units `begin` to `end`."""
    width = job[SLOTS] * PANEL
    column = job[GATES_ROWS] * width
    together = 1
    z_panel = PANEL
    if job[SLOTS] == 1:
        # A cell of one gate: several units keep more registers busy.
        together = max(1, end - begin)
        z_panel = column
    for unit in range(begin, end, together):
        z = job[GATES] + FLOAT * (unit * column + first_row * width + begins * PANEL)
        if start != 0:
            _add_quantised(
                job, rows, units, activations, panels, start, scale,
                unit * slots, together * slots, z, width, z_panel,
            )  # fmt: skip
        else:
            place = panels + FLOAT * unit * slots * units * PANEL * PANEL
            _add_exact(
                rows, units, source, distance, row, place, together * slots, z, width, z_panel
            )


@compiled
def _begin_gates(
    job: Line,
    line: Line,
    number: int,
    rows: int,
    tokens: Integers,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """The input's half of the gates, for `rows` rows from step 1's on, biases included."""
    width, units = job[SLOTS] * PANEL, job[UNITS]
    for unit in range(begin, end):
        place = job[GATES] + FLOAT * unit * job[GATES_ROWS] * width
        for row in range(rows):
            source = line[BIAS] + FLOAT * unit * width
            if line[TABLE] != 0:
                source = line[TABLE] + FLOAT * (tokens[row] * units + unit) * width
            copy_row(width, source, place + FLOAT * row * width)
    if line[TABLE] != 0:
        return
    source = job[H] + FLOAT * (job[H_STEP] + (number - 1) * job[H_LAYER])
    distance, row_distance = job[H_UNIT], job[H_ROW]
    if number == 0:
        # Every member for itself: it takes no longer than to wait for one that does it for all.
        size = line[INPUT_UNITS] * PANEL
        source, distance, row_distance = scratch, PANEL, size
        for row in range(rows):
            place = job[EMBEDDING] + FLOAT * tokens[row] * size
            copy_row(size, place, source + FLOAT * row * size)
    if line[INPUT_START] != 0:
        _quantise(job, rows, source, distance, row_distance, line[INPUT_UNITS], scratch)
    _add_gates(
        job, rows, line[INPUT_UNITS], source, distance, row_distance, scratch,
        line[INPUT_PANELS], line[INPUT_START], line[INPUT_SCALE],
        job[INPUT_SLOTS], job[INPUT_BEGINS], 0, begin, end,
    )  # fmt: skip


@compiled
def _recur(
    job: Line,
    line: Line,
    number: int,
    here: int,
    after: int,
    first_row: int,
    begin: int,
    end: int,
    scratch: int,
) -> None:
    """The state's half of the gates at one step, and the next state, for units `begin` to `end`."""
    rows, units, width = job[ROWS], job[UNITS], job[SLOTS] * PANEL
    if line[HIDDEN_START] != 0:
        _quantise(job, rows, here, job[H_UNIT], job[H_ROW], units, scratch)
    _add_gates(
        job, rows, units, here, job[H_UNIT], job[H_ROW], scratch,
        line[HIDDEN_PANELS], line[HIDDEN_START], line[HIDDEN_SCALE],
        job[HIDDEN_SLOTS], job[HIDDEN_BEGINS], first_row, begin, end,
    )  # fmt: skip
    cell = job[CELL]
    for unit in range(begin, end):
        z = job[GATES] + FLOAT * (unit * job[GATES_ROWS] + first_row) * width
        h, h_next = here + FLOAT * unit * job[H_UNIT], after + FLOAT * unit * job[H_UNIT]
        if cell == LSTM:
            c = job[C] + FLOAT * (number * job[C_LAYER] + unit * job[C_UNIT])
            pointwise.lstm_forward(rows, z, c, c, h_next)
        elif cell == GRU:
            pointwise.gru_forward(rows, z, h, h_next)
        elif cell == RNN_TANH:
            pointwise.tanh_forward(rows, z, h_next)
        else:
            pointwise.relu_forward(rows, z, h_next)


@compiled
def _head(job: Line, rows: int, source: int, begin: int, end: int, scratch: int) -> None:
    """Logits of rows from the last layer's states, for panels `begin` to `end` of tokens."""
    width = job[HEAD_COLUMNS] * PANEL
    place = job[LOGITS] + FLOAT * begin * PANEL
    for row in range(rows):
        bias = job[HEAD_BIAS] + FLOAT * begin * PANEL
        copy_row((end - begin) * PANEL, bias, place + FLOAT * row * width)
    if job[HEAD_START] != 0:
        _quantise(job, rows, source, job[H_UNIT], job[H_ROW], job[UNITS], scratch)
        _add_quantised(
            job, rows, job[UNITS], scratch, job[HEAD_PANELS], job[HEAD_START], job[HEAD_SCALE],
            begin, end - begin, place, width, PANEL,
        )  # fmt: skip
    else:
        panels = job[HEAD_PANELS] + FLOAT * begin * job[UNITS] * PANEL * PANEL
        _add_exact(
            rows, job[UNITS], source, job[H_UNIT], job[H_ROW], panels, end - begin,
            place, width, PANEL,
        )  # fmt: skip


@compiled
def read(job: Line, layers: Line, member: int, tokens: Integers) -> None:
    """Read tokens (T * B), layer by layer: states of every step, and logits if they are asked for.

    All of a layer's input gates are one product; then the recurrence goes on from step to step.
    """
    members, steps, rows = job[MEMBERS], job[STEPS], job[ROWS]
    begin, end = _share(job[UNITS], member, members), _share(job[UNITS], member + 1, members)
    scratch = job[SCRATCH] + member * job[SCRATCH_SIZE]
    rounds = 0
    for number in range(job[LAYERS]):
        line = layers[number]
        _begin_gates(job, line, number, steps * rows, tokens, begin, end, scratch)
        here = job[H] + FLOAT * number * job[H_LAYER]
        for step in range(steps):
            after = here + FLOAT * job[H_STEP]
            _recur(job, line, number, here, after, step * rows, begin, end, scratch)
            here = after
            if members > 1:
                rounds += 1
                wait_for_all(job[ARRIVALS], members, rounds)
    if job[LOGITS] != 0:
        source = job[H] + FLOAT * (job[H_STEP] + (job[LAYERS] - 1) * job[H_LAYER])
        columns = job[HEAD_COLUMNS]
        begin, end = _share(columns, member, members), _share(columns, member + 1, members)
        if end > begin:
            _head(job, steps * rows, source, begin, end, scratch)


@compiled
def write(
    job: Line,
    layers: Line,
    member: int,
    parity: int,
    place: int,
    tokens: Integers,
    used: Integers,
    modes: Integers,
    temperatures: npt.NDArray[np.float64],
    uniforms: npt.NDArray[np.float64],
    begins_word: npt.NDArray[np.bool_],
    out: Integers,
) -> None:
    """Let B streams write: from each one's last token its next, `len(out)` times.

    They are those from `place` on of arrays that hold them all: `tokens` and `used` (uniform
    numbers), (copies, streams), `uniforms`, (streams, steps), and `out`, (steps, streams), with
    `NO_DISTRIBUTION` where the logits were none. A stream alone is drawn for by every member, each
    in a copy of its own; of several each member draws for some. States go to and fro between two
    places.
    """
    members, rows = job[MEMBERS], job[ROWS]
    begin, end = _share(job[UNITS], member, members), _share(job[UNITS], member + 1, members)
    columns = job[HEAD_COLUMNS]
    first, last = _share(columns, member, members), _share(columns, member + 1, members)
    scratch = job[SCRATCH] + member * job[SCRATCH_SIZE]
    copy, own_begin, own_end = 0, _share(rows, member, members), _share(rows, member + 1, members)
    if rows == 1:
        copy, own_begin, own_end = member, 0, 1
    last_tokens = tokens[copy, place:]
    rounds = 0
    # What `_begin_gates` takes for step 1 is where this step's states go to.
    moved = job.copy()
    for step in range(out.shape[0]):
        old = (parity + step) % 2
        moved[H] = job[H] + FLOAT * (-old) * job[H_STEP]
        for number in range(job[LAYERS]):
            shift = number * job[H_LAYER]
            here = job[H] + FLOAT * (old * job[H_STEP] + shift)
            after = job[H] + FLOAT * ((1 - old) * job[H_STEP] + shift)
            _begin_gates(moved, layers[number], number, rows, last_tokens, begin, end, scratch)
            _recur(job, layers[number], number, here, after, 0, begin, end, scratch)
            if members > 1:
                rounds += 1
                wait_for_all(job[ARRIVALS], members, rounds)
        source = job[H] + FLOAT * ((1 - old) * job[H_STEP] + (job[LAYERS] - 1) * job[H_LAYER])
        if last > first:
            _head(job, rows, source, first, last, scratch)
        if members > 1:
            rounds += 1
            wait_for_all(job[ARRIVALS], members, rounds)
        for row in range(own_begin, own_end):
            stream = place + row
            if modes[stream] == BY_CALLER:
                continue
            logits = job[LOGITS] + FLOAT * row * columns * PANEL
            drawn = modes[stream] == BY_DRAW
            if modes[stream] == BY_DRAW_IF_WORD_BEGINS:
                drawn = begins_word[last_tokens[row]]
            if drawn and temperatures[stream] > 0:
                uniform = uniforms[stream, used[copy, stream]]
                token = draw(logits, columns * PANEL, temperatures[stream], uniform, scratch)
                used[copy, stream] += 1
            else:
                token = likeliest(logits, columns * PANEL)
            out[step, stream] = token
            last_tokens[row] = max(token, 0)
        if members > 1 and rows > 1:
            rounds += 1
            wait_for_all(job[ARRIVALS], members, rounds)
