"""Compiled kernels of cells, one file for each cell; see `CellKernel`."""

from __future__ import annotations

from rondel.kernels.cell_kernels.base import CellFields, CellKernel
from rondel.kernels.cell_kernels.slots import Slots
from rondel.registry import Registry

cell_kernels: Registry[tuple[CellKernel, ...]] = Registry(
    "cell kernel", "rondel.kernels.cell_kernels"
)
"""A cell's kernels, under its registered name: one for each of its settings that is compiled."""

__all__ = ["CellFields", "CellKernel", "Slots", "cell_kernels"]
