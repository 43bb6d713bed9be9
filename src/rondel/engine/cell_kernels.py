"""Which kernel is which cell's."""

from __future__ import annotations

from rondel.cells import Cell
from rondel.cells.gru import GRU
from rondel.cells.lstm import LSTM
from rondel.cells.rnn import RNN


def has_kernel(cell: Cell) -> bool:
    """Whether a cell's steps are compiled. A cell made from one of these may differ from it."""
    return type(cell) in (LSTM, GRU, RNN)


def kernel_of(cell: Cell) -> int:
    """The number by which kernels know a cell."""
    from rondel.kernels.simd import pointwise

    if isinstance(cell, RNN):
        return pointwise.RNN_RELU if cell.nonlinearity == "relu" else pointwise.RNN_TANH
    return pointwise.LSTM if isinstance(cell, LSTM) else pointwise.GRU
