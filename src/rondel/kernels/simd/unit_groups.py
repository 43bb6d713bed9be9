"""Groups of 16 units: the memory layout of activations, states and gates.

A product's panels are 16 columns wide, so whatever kernels read or write lies in groups of 16
units, a group's rows one after the other: `x[unit // 16, row, unit % 16]`. Kernels call such a
group `group`, and count `groups`. Padding is zero, and stays zero.
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


class Groups(NamedTuple):
    """Where a group's rows of 16 numbers lie: a first address, and distances in numbers.

    A row of gates is 16 numbers for each of the cell's slots.
    """

    address: int
    group: int
    """Distance from one group to the next."""
    row: int
    """Distance from one row to the next."""

    @classmethod
    def of(cls, array: Array) -> Groups:
        """The groups of an array (groups, rows, …), which the caller keeps alive."""
        group, row = array.strides[:2]
        return cls(address=array.ctypes.data, group=group // BYTES, row=row // BYTES)


NOWHERE = Groups(address=0, group=0, row=0)


@compiled
def address_of(x: Groups, group: int, row: int) -> int:
    """Address of one group's row."""
    return x.address + BYTES * (group * x.group + row * x.row)


@compiled
def from_row(x: Groups, row: int) -> Groups:
    """The same groups from row `row` on."""
    return Groups(address=x.address + BYTES * row * x.row, group=x.group, row=x.row)


@compiled
def from_group(x: Groups, group: int) -> Groups:
    """The groups from `group` on."""
    return Groups(address=x.address + BYTES * group * x.group, group=x.group, row=x.row)


@compiled
def slots_of(gates: Groups, group: int, first_slot: int) -> Groups:
    """One group's slots from `first_slot` on, as if each were a group."""
    address = gates.address + BYTES * (group * gates.group + first_slot * PANEL)
    return Groups(address=address, group=PANEL, row=gates.row)


def aligned(*shape: int, dtype: Any = np.float32) -> npt.NDArray[Any]:
    """Return an array of zeros that begins at a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % CACHE_LINE
    array: npt.NDArray[Any] = raw[begin : begin + size].view(dtype).reshape(shape)
    return array


def count_groups(size: int) -> int:
    """Return how many groups of 16 hold `size` units."""
    return (size + PANEL - 1) // PANEL


def to_groups(matrix: Array, groups: Array, first_row: int = 0) -> None:
    """Write rows (N, K) into groups of 16 (groups, rows, 16), from row `first_row` on."""
    count, size = matrix.shape
    whole = size // PANEL
    rows = slice(first_row, first_row + count)
    groups[:whole, rows] = matrix[:, : whole * PANEL].reshape(count, whole, PANEL).swapaxes(0, 1)
    if size % PANEL:
        groups[whole, rows, : size % PANEL] = matrix[:, whole * PANEL :]


def from_groups(groups: Array, size: int, first_row: int, count: int) -> Array:
    """Return rows (count, size) from groups of 16 (groups, rows, 16)."""
    part: Array = groups[:, first_row : first_row + count].swapaxes(0, 1)
    return part.reshape(count, -1)[:, :size]
