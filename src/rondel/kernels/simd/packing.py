"""Weights in the order in which kernels read them, and gradients back in PyTorch's.

G gates, H hidden size, K columns of a weight matrix (G * H, K). Units are padded to whole columns
of 16 with zeros, which keep padded states at zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.matmul import BYTES, PANEL
from rondel.kernels.simd.pointwise import SLOTS, Slots
from rondel.kernels.simd.rows import copy_row, transpose_square
from rondel.kernels.simd.vectors import LANES

Array = npt.NDArray[np.float32]
Order = npt.NDArray[np.int64]


def columns_of(size: int) -> int:
    """How many columns of 16 hold `size` units."""
    return (size + PANEL - 1) // PANEL


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


def slot_bias(cell: int, bias_ih: Array, bias_hh: Array, units: int) -> Array:
    """What each slot starts from: (units, slots, 16)."""
    slots: Slots = SLOTS[cell]
    size = len(bias_ih) // len(slots.of_input)
    total = np.zeros((slots.in_all, units * PANEL), np.float32)
    for slot, gate in enumerate(slots.of_input, slots.input_begins):
        total[slot, :size] += bias_ih[gate * size : (gate + 1) * size]
    for slot, gate in enumerate(slots.of_hidden, slots.hidden_begins):
        total[slot, :size] += bias_hh[gate * size : (gate + 1) * size]
    return np.ascontiguousarray(total.reshape(slots.in_all, units, PANEL).transpose(1, 0, 2))


def bias_gradients(cell: int, totals: Array, size: int) -> tuple[Array, Array]:
    """Gradients of both biases (G * H) from the slots' sums (units, slots, 16)."""
    slots: Slots = SLOTS[cell]
    by_slot = totals.transpose(1, 0, 2).reshape(slots.in_all, -1)[:, :size]
    result = []
    for begins, gates in (
        (slots.input_begins, slots.of_input),
        (slots.hidden_begins, slots.of_hidden),
    ):
        gradient = np.empty((len(gates), size), np.float32)
        for slot, gate in enumerate(gates, begins):
            gradient[gate] = by_slot[slot]
        result.append(gradient.reshape(-1))
    return result[0], result[1]


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
