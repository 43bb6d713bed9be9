"""Pack weights in the order in which the training kernels read them.

G gates, H hidden size, K columns of a weight matrix (G * H, K). Units are padded with zeros to
whole groups of 16, which keeps padded states at zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.llvm_vectors import LANES
from rondel.kernels.simd.rows import copy_row, transpose_square
from rondel.kernels.simd.unit_groups import BYTES, PANEL, Array

Order = npt.NDArray[np.int64]


@compiled
def pack_gates(
    weight: Array, hidden_size: int, gates: Order, group_begin: int, group_end: int, panels: Array
) -> None:
    """Pack for the forward pass: panel `group * len(gates) + s` holds a group's gate `gates[s]`."""
    depth = weight.shape[1]
    for group in range(group_begin, group_end):
        width = min(PANEL, hidden_size - group * PANEL)
        for slot in range(gates.size):
            first = gates[slot] * hidden_size + group * PANEL
            panel = panels[group * gates.size + slot]
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
    weight: Array, hidden_size: int, gates: Order, group_begin: int, group_end: int, panels: Array
) -> None:
    """Pack for the backward pass: panels of the matrix's columns, k in order of groups, slots."""
    depth = weight.shape[1]
    for group in range(group_begin, group_end):
        width = min(PANEL, hidden_size - group * PANEL)
        for slot in range(gates.size):
            first = gates[slot] * hidden_size + group * PANEL
            k = (group * gates.size + slot) * PANEL
            for panel in range(panels.shape[0]):
                columns = min(PANEL, depth - panel * PANEL)
                for j in range(width):
                    if columns == PANEL:
                        source = weight.ctypes.data + BYTES * ((first + j) * depth + panel * PANEL)
                        copy_row(PANEL, source, panels[panel, k + j].ctypes.data)
                    else:
                        for column in range(columns):
                            panels[panel, k + j, column] = weight[first + j, panel * PANEL + column]
