"""What compiled passes know of a cell, one file a cell: see `CellKernel`."""

from __future__ import annotations

from rondel.kernels.cell_kernels.base import CellFields, CellKernel
from rondel.kernels.cell_kernels.slots import Slots
from rondel.registry import Registry

cell_kernels: Registry[tuple[CellKernel, ...]] = Registry(
    "cell kernel", "rondel.kernels.cell_kernels"
)
"""By the registered name of a cell: a kernel for each setting of it that has one."""

__all__ = ["CellFields", "CellKernel", "Slots", "cell_kernels"]
