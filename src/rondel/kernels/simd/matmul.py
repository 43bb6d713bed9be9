"""Matrix products over packed panels.

A panel is 16 columns of the right-hand matrix B, packed so that it is read once from its beginning
to its end: `panels[p, k, j] = B[k, 16 p + j]`. The left-hand matrix A is read where it lies.
A product adds to each element of the result one term after the other, in the order of k, whatever
the shape of the tile, the size of the blocks or the number of threads: its bits depend on none.
"""

from __future__ import annotations

from typing import NamedTuple

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.columns import PANEL, Columns
from rondel.kernels.simd.micro_kernel import multiply_tiles


class Left(NamedTuple):
    """A left-hand matrix A, its k in `blocks` of `block_size`; distances in numbers."""

    address: int
    row: int
    k: int
    block: int
    block_size: int
    blocks: int


class Panels(NamedTuple):
    """A right-hand matrix in panels."""

    address: int
    distance: int
    """From one panel to the next, in numbers: 16 times the number of k if they are packed."""


@compiled
def multiply(rows: int, panels: int, a: Left, b: Panels, c: Columns, accumulate: int) -> None:
    """C[rows, panels x 16] = A B, or += if `accumulate` is 1. C's units are the panels."""
    multiply_tiles(
        rows, panels,
        a.address, a.row, a.k, a.block, a.block_size, a.blocks,
        b.address, b.distance,
        c.address, c.row, c.unit,
        accumulate,
    )  # fmt: skip


@compiled
def as_left(x: Columns, units: int, width: int) -> Left:
    """Columns as a left-hand matrix: `width` numbers of each of so many units."""
    if x.unit == width:
        # One run of numbers: nothing to skip between units.
        return Left(
            address=x.address, row=x.row, k=1, block=x.unit, block_size=units * width, blocks=1
        )
    return Left(address=x.address, row=x.row, k=1, block=x.unit, block_size=width, blocks=units)


@compiled
def add_product(rows: int, units: int, x: Columns, panels: int, count: int, z: Columns) -> None:
    """z += x W for `count` packed panels of W at an address, whose k are x's units."""
    depth = units * PANEL
    packed = Panels(address=panels, distance=depth * PANEL)
    multiply(rows, count, as_left(x, units, PANEL), packed, z, 1)
