"""Weights in the order in which kernels read them.

G gates, H hidden size, K columns of a weight matrix (G * H, K). Units are padded to whole columns
of 16 with zeros, which keep padded states at zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.columns import BYTES, PANEL, Array
from rondel.kernels.simd.rows import copy_row, transpose_square
from rondel.kernels.simd.vectors import LANES

Order = npt.NDArray[np.int64]


@compiled
def pack_gates(
    weight: Array, hidden_size: int, gates: Order, unit_begin: int, unit_end: int, panels: Array
) -> None:
    """For the way forward: panel `unit * len(gates) + s` has gate `gates[s]` of 16 units."""
    depth = weight.shape[1]
    for unit in range(unit_begin, unit_end):
        width = min(PANEL, hidden_size - unit * PANEL)
        for slot in range(gates.size):
            first = gates[slot] * hidden_size + unit * PANEL
            panel = panels[unit * gates.size + slot]
            squared = depth // LANES * LANES if width == PANEL else 0
            for j in range(0, PANEL, LANES):
                for k in range(0, squared, LANES):
                    source = weight.ctypes.data + BYTES * ((first + j) * depth + k)
                    target = panel.ctypes.data + BYTES * (k * PANEL + j)
                    transpose_square(source, depth, target, PANEL)
            for k in range(squared, depth):
                for j in range(width):
                    panel[k, j] = weight[first + j, k]


@compiled
def pack_gates_back(
    weight: Array, hidden_size: int, gates: Order, unit_begin: int, unit_end: int, panels: Array
) -> None:
    """For the way back: panels of the matrix's own columns, k in the order of units and slots."""
    depth = weight.shape[1]
    for unit in range(unit_begin, unit_end):
        width = min(PANEL, hidden_size - unit * PANEL)
        for slot in range(gates.size):
            first = gates[slot] * hidden_size + unit * PANEL
            k = (unit * gates.size + slot) * PANEL
            for panel in range(panels.shape[0]):
                columns = min(PANEL, depth - panel * PANEL)
                for j in range(width):
                    if columns == PANEL:
                        source = weight.ctypes.data + BYTES * ((first + j) * depth + panel * PANEL)
                        copy_row(PANEL, source, panels[panel, k + j].ctypes.data)
                    else:
                        for column in range(columns):
                            panels[panel, k + j, column] = weight[first + j, panel * PANEL + column]
