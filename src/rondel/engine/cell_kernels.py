"""Which kernel computes a cell, if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel import kernels
from rondel.cells import Cell, cells

if TYPE_CHECKING:
    from rondel.kernels.cell_kernels import CellKernel


def find_kernel(cell: Cell) -> CellKernel | None:
    """The kernel registered under the cell's name; None for a cell or a setting that has none.

    A class derived from a cell is another cell: it may compute anything.
    """
    if not kernels.usable():
        return None
    from rondel.kernels.cell_kernels import cell_kernels

    names = (name for name, cls in cells.items() if cls is type(cell))
    candidates = (kernel for name in names if name in cell_kernels for kernel in cell_kernels[name])
    return next((kernel for kernel in candidates if kernel.applies(cell)), None)


def has_kernel(cell: Cell) -> bool:
    """Whether a cell's steps are compiled on this machine."""
    return find_kernel(cell) is not None


def kernel_of(cell: Cell) -> CellKernel:
    """The kernel of a cell that has one; `LookupError` for another."""
    if (kernel := find_kernel(cell)) is None:
        raise LookupError(f"no kernel for {cell}")
    return kernel
