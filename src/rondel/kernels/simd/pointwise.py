"""The pointwise half of a step, fused: from gates to the next state, and back.

Gates lie unit by unit: a row of a block holds 16 units' share of each slot, `z[row, slot, unit]`.
States lie as `h[row, unit]`, rows of 16. A cell's slots are where its two matmuls add up: one for
each gate, but for the GRU's candidate, whose halves stay apart until the reset gate joins them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import types

from rondel.kernels.compiling import intrinsic
from rondel.kernels.simd import vectors as v
from rondel.kernels.simd.matmul import PANEL
from rondel.kernels.simd.vectors import INT64, LANES, Value, Vector, relu, sigmoid, tanh

RNN_TANH, RNN_RELU, GRU, LSTM = range(4)


class Slots(NamedTuple):
    """Which gate (its place in the cell's weights) each slot takes from either matmul."""

    in_all: int
    of_input: tuple[int, ...]
    input_begins: int
    of_hidden: tuple[int, ...]
    hidden_begins: int


SLOTS = {
    RNN_TANH: Slots(1, (0,), 0, (0,), 0),
    RNN_RELU: Slots(1, (0,), 0, (0,), 0),
    # Candidate (input half), reset, update, candidate (hidden half): either matmul's are together.
    GRU: Slots(4, (2, 0, 1), 0, (0, 1, 2), 1),
    LSTM: Slots(4, (0, 1, 2, 3), 0, (0, 1, 2, 3), 0),
}


class Block:
    """The lanes of one row that a body works on: loads and stores by pointer and slot."""

    def __init__(self, builder: Any, pointers: list[Value], row: Value, strides: list[int]) -> None:
        self.builder, self._pointers, self._row, self._strides = builder, pointers, row, strides
        self.lane = 0

    def _where(self, pointer: int, slot: int) -> Value:
        offset = self.builder.mul(self._row, v.integer(self._strides[pointer]))
        offset = self.builder.add(offset, v.integer(slot * PANEL + self.lane))
        return v.at(self.builder, self._pointers[pointer], offset)

    def load(self, pointer: int, slot: int = 0) -> Vector:
        """Numbers of one slot."""
        return Vector(self.builder, v.load(self.builder, self._where(pointer, slot)))

    def store(self, value: Vector, pointer: int, slot: int = 0) -> None:
        """Write numbers of one slot."""
        v.store(self.builder, value.value, self._where(pointer, slot))


def _over_rows(slots: int, pointers: int, body: Callable[[Block], None]) -> Any:
    """An intrinsic `(rows, address, …)`: `body` on each row; the first address is the gates'."""
    strides = [slots * PANEL] + [PANEL] * (pointers - 1)
    signature = types.void(types.intp, *[types.uintp] * pointers)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        rows, *addresses = arguments
        places = [v.pointer(builder, address) for address in addresses]
        before = builder.block
        loop, after = builder.append_basic_block("rows"), builder.append_basic_block("after")
        builder.cbranch(builder.icmp_signed(">", rows, v.integer(0)), loop, after)
        builder.position_at_end(loop)
        row = builder.phi(INT64)
        row.add_incoming(v.integer(0), before)
        block = Block(builder, places, row, strides)
        for block.lane in range(0, PANEL, LANES):
            body(block)
        following = builder.add(row, v.integer(1))
        row.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, rows), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return signature, generate


def _lstm_forward(at: Block, *, keep: bool) -> None:
    i, f = sigmoid(at.load(0, 0)), sigmoid(at.load(0, 1))
    g, o = tanh(at.load(0, 2)), sigmoid(at.load(0, 3))
    memory = f.fma(at.load(1), i * g)
    squashed = tanh(memory)
    at.store(memory, 2)
    at.store(o * squashed, 3)
    if keep:
        for slot, gate in enumerate((i, f, g, o)):
            at.store(gate, 0, slot)
        at.store(squashed, 4)


def _lstm_backward(at: Block) -> None:
    i, f, g, o = (at.load(0, slot) for slot in range(4))
    squashed, d_h = at.load(2), at.load(3)
    d_c = (d_h * o).fma(1.0 - squashed * squashed, at.load(4))
    at.store(d_c * g * (i * (1.0 - i)), 0, 0)
    at.store(d_c * at.load(1) * (f * (1.0 - f)), 0, 1)
    at.store(d_c * i * (1.0 - g * g), 0, 2)
    at.store(d_h * squashed * (o * (1.0 - o)), 0, 3)
    at.store(d_c * f, 4)


def _gru_forward(at: Block, *, keep: bool) -> None:
    reset, update = sigmoid(at.load(0, 1)), sigmoid(at.load(0, 2))
    candidate = tanh(reset.fma(at.load(0, 3), at.load(0, 0)))
    at.store(update.fma(at.load(1) - candidate, candidate), 2)
    if keep:
        for slot, gate in enumerate((candidate, reset, update)):
            at.store(gate, 0, slot)


def _gru_backward(at: Block) -> None:
    candidate, reset, update, hidden_half = (at.load(0, slot) for slot in range(4))
    d_h = at.load(2)
    d_candidate = d_h * (1.0 - update) * (1.0 - candidate * candidate)
    at.store(d_candidate, 0, 0)
    at.store(d_candidate * hidden_half * (reset * (1.0 - reset)), 0, 1)
    at.store(d_h * (at.load(1) - candidate) * (update * (1.0 - update)), 0, 2)
    at.store(d_candidate * reset, 0, 3)
    at.store(d_h.fma(update, at.load(3)), 3)


def _rnn_forward(at: Block, *, activation: Callable[[Vector], Vector], keep: bool) -> None:
    hidden = activation(at.load(0))
    at.store(hidden, 1)
    if keep:
        at.store(hidden, 0)


def _tanh_backward(at: Block) -> None:
    hidden = at.load(0)
    at.store(at.load(1) * (1.0 - hidden * hidden), 0)


def _relu_backward(at: Block) -> None:
    builder, hidden = at.builder, at.load(0)
    on = builder.fcmp_ordered(">", hidden.value, v.constant(0.0))
    at.store(Vector(builder, builder.select(on, at.load(1).value, v.constant(0.0))), 0)


@intrinsic
def lstm_forward(_: Any, rows: Any, z: Any, c: Any, c_next: Any, h: Any) -> Any:
    """c', h' from gates z and c."""
    return _over_rows(4, 4, lambda at: _lstm_forward(at, keep=False))


@intrinsic
def lstm_forward_kept(_: Any, rows: Any, z: Any, c: Any, c_next: Any, h: Any, tanh_c: Any) -> Any:
    """The same; tanh c' and, in z, the gates after their activation are kept for the way back."""
    return _over_rows(4, 5, lambda at: _lstm_forward(at, keep=True))


@intrinsic
def lstm_backward(_: Any, rows: Any, z: Any, c: Any, tanh_c: Any, d_h: Any, d_c: Any) -> Any:
    """Gradients of the gates into z, and of c into d_c, which held that of c'."""
    return _over_rows(4, 5, _lstm_backward)


@intrinsic
def gru_forward(_: Any, rows: Any, z: Any, h: Any, h_next: Any) -> Any:
    """h' from gates z and h."""
    return _over_rows(4, 3, lambda at: _gru_forward(at, keep=False))


@intrinsic
def gru_forward_kept(_: Any, rows: Any, z: Any, h: Any, h_next: Any) -> Any:
    """The same; the gates after their activation are kept in z for the way back."""
    return _over_rows(4, 3, lambda at: _gru_forward(at, keep=True))


@intrinsic
def gru_backward(_: Any, rows: Any, z: Any, h: Any, d_h_next: Any, d_h: Any) -> Any:
    """Gradients of the slots into z; what reaches h but for the matmul is added to d_h."""
    return _over_rows(4, 4, _gru_backward)


@intrinsic
def tanh_forward(_: Any, rows: Any, z: Any, h: Any) -> Any:
    """h' = tanh z."""
    return _over_rows(1, 2, lambda at: _rnn_forward(at, activation=tanh, keep=False))


@intrinsic
def tanh_forward_kept(_: Any, rows: Any, z: Any, h: Any) -> Any:
    """The same, kept in z for the way back."""
    return _over_rows(1, 2, lambda at: _rnn_forward(at, activation=tanh, keep=True))


@intrinsic
def tanh_backward(_: Any, rows: Any, z: Any, d_h: Any) -> Any:
    """Gradients of the gates into z."""
    return _over_rows(1, 2, _tanh_backward)


@intrinsic
def relu_forward(_: Any, rows: Any, z: Any, h: Any) -> Any:
    """h' = max(z, 0)."""
    return _over_rows(1, 2, lambda at: _rnn_forward(at, activation=relu, keep=False))


@intrinsic
def relu_forward_kept(_: Any, rows: Any, z: Any, h: Any) -> Any:
    """The same, kept in z for the way back."""
    return _over_rows(1, 2, lambda at: _rnn_forward(at, activation=relu, keep=True))


@intrinsic
def relu_backward(_: Any, rows: Any, z: Any, d_h: Any) -> Any:
    """Gradients of the gates into z."""
    return _over_rows(1, 2, _relu_backward)
