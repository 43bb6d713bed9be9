"""Look up the compiled kernel of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel import kernels
from rondel.cells import Cell, cells

if TYPE_CHECKING:
    from rondel.kernels.cell_kernels import CellKernel


def find_kernel(cell: Cell) -> CellKernel | None:
    """Return the kernel registered for a cell and its settings; None if there is none.

    A subclass of a cell is another cell: it may compute anything.
    """
    if not kernels.usable():
        return None
    from rondel.kernels.cell_kernels import cell_kernels

    names = (name for name, cls in cells.items() if cls is type(cell))
    candidates = (kernel for name in names if name in cell_kernels for kernel in cell_kernels[name])
    return next((kernel for kernel in candidates if kernel.applies(cell)), None)


def has_kernel(cell: Cell) -> bool:
    """Whether this machine has a compiled kernel for a cell."""
    return find_kernel(cell) is not None


def kernel_of(cell: Cell) -> CellKernel:
    """Return the kernel of a cell; raises `LookupError` if there is none."""
    if (kernel := find_kernel(cell)) is None:
        raise LookupError(f"no kernel for {cell}")
    return kernel
