"""Matrix products over packed panels.

A panel is 16 columns of the right-hand matrix B, packed so that it is read sequentially:
`panels[p, k, j] = B[k, 16 p + j]`. The left-hand matrix A is read in place.
A product adds the terms of each element in the order of k, whatever the shape of the tile, the size
of the blocks or the number of threads: the bits of the result depend on none of these.
"""

from __future__ import annotations

from typing import NamedTuple

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.micro_kernel import multiply_tiles
from rondel.kernels.simd.unit_groups import PANEL, Groups


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
def multiply(rows: int, panels: int, a: Left, b: Panels, c: Groups, accumulate: int) -> None:
    """C[rows, panels x 16] = A B, or += if `accumulate` is 1. C's groups are the panels."""
    multiply_tiles(
        rows, panels,
        a.address, a.row, a.k, a.block, a.block_size, a.blocks,
        b.address, b.distance,
        c.address, c.row, c.group,
        accumulate,
    )  # fmt: skip


@compiled
def as_left(x: Groups, groups: int, width: int) -> Left:
    """Return groups as a left-hand matrix: `width` numbers of each group."""
    if x.group == width:
        # Contiguous: nothing to skip between groups.
        return Left(
            address=x.address, row=x.row, k=1, block=x.group, block_size=groups * width, blocks=1
        )
    return Left(address=x.address, row=x.row, k=1, block=x.group, block_size=width, blocks=groups)


@compiled
def add_product(rows: int, groups: int, x: Groups, panels: int, count: int, z: Groups) -> None:
    """z += x W for `count` panels of W, packed at address `panels`, whose k are x's units."""
    depth = groups * PANEL
    packed = Panels(address=panels, distance=depth * PANEL)
    multiply(rows, count, as_left(x, groups, PANEL), packed, z, 1)
