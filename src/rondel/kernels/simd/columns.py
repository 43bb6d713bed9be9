"""Columns of 16 units: how activations, states and gates lie in memory.

A product's panels are 16 columns wide, so whatever kernels read or write lies in groups of 16
units, a group's rows one after the other: `x[unit // 16, row, unit % 16]`. "Units" counts such
groups wherever a kernel loops over them. Padding is zero, and stays zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled

PANEL = 16
BYTES = 4  # of a number: addresses count bytes, distances count numbers
CACHE_LINE = 64  # bytes

Array = npt.NDArray[np.float32]


class Columns(NamedTuple):
    """Where the 16 numbers of a unit's row lie: a first address, and distances in numbers.

    With gates, a row is as many times 16 numbers as the cell has slots.
    """

    address: int
    unit: int
    """Distance from one group of 16 units to the next."""
    row: int
    """Distance from one row to the next."""

    @classmethod
    def of(cls, array: Array) -> Columns:
        """The columns that an array (units, rows, …) holds; the caller keeps it alive."""
        unit, row = array.strides[:2]
        return cls(address=array.ctypes.data, unit=unit // BYTES, row=row // BYTES)


NOWHERE = Columns(address=0, unit=0, row=0)


@compiled
def address_of(x: Columns, unit: int, row: int) -> int:
    """Address of one unit's row."""
    return x.address + BYTES * (unit * x.unit + row * x.row)


@compiled
def from_row(x: Columns, row: int) -> Columns:
    """The same columns, counted from another row."""
    return Columns(address=x.address + BYTES * row * x.row, unit=x.unit, row=x.row)


@compiled
def from_unit(x: Columns, unit: int) -> Columns:
    """The same columns, counted from another unit."""
    return Columns(address=x.address + BYTES * unit * x.unit, unit=x.unit, row=x.row)


@compiled
def slots_of(gates: Columns, unit: int, first_slot: int) -> Columns:
    """One unit's slots from the first on, as if each were a unit."""
    address = gates.address + BYTES * (unit * gates.unit + first_slot * PANEL)
    return Columns(address=address, unit=PANEL, row=gates.row)


def aligned(*shape: int, dtype: Any = np.float32) -> npt.NDArray[Any]:
    """Zeros that begin at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % CACHE_LINE
    array: npt.NDArray[Any] = raw[begin : begin + size].view(dtype).reshape(shape)
    return array


def columns_of(size: int) -> int:
    """How many columns of 16 hold `size` units."""
    return (size + PANEL - 1) // PANEL


def to_columns(matrix: Array, columns: Array, first_row: int = 0) -> None:
    """Write rows (N, K) into columns of 16 (units, rows, 16), from row `first_row` on."""
    count, size = matrix.shape
    whole = size // PANEL
    rows = slice(first_row, first_row + count)
    columns[:whole, rows] = matrix[:, : whole * PANEL].reshape(count, whole, PANEL).swapaxes(0, 1)
    if size % PANEL:
        columns[whole, rows, : size % PANEL] = matrix[:, whole * PANEL :]


def from_columns(columns: Array, size: int, first_row: int, count: int) -> Array:
    """The rows (count, size) that lie in columns of 16 (units, rows, 16)."""
    part: Array = columns[:, first_row : first_row + count].swapaxes(0, 1)
    return part.reshape(count, -1)[:, :size]
