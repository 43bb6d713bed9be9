"""The arrays of a recurrent stack's training step, and its passes forward and back.

T steps, B batch rows, H hidden size, L layers, V vocabulary, E input size, G gates.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.kernels.simd.matmul import PANEL, aligned
from rondel.kernels.simd.packing import columns_of
from rondel.kernels.simd.pointwise import LSTM, SLOTS
from rondel.kernels.training import recurrence

Array = npt.NDArray[np.float32]
FEWEST_ROWS = 4


@dataclass(frozen=True)
class StackShape:
    """What arrays a step takes. The input is tokens, of a `vocabulary`, or else numbers."""

    cell: int
    num_layers: int
    hidden_size: int
    steps: int
    batch: int
    input_size: int
    vocabulary: int = 0
    """0 for an input of numbers (T, B, E)."""
    embedded: bool = True
    """Whether tokens have a vector (V, E); without, the first layer has a column for each."""
    threads: int = 1

    @property
    def units(self) -> int:
        """Columns of 16 hidden units."""
        return columns_of(self.hidden_size)

    def blocks(self) -> list[tuple[int, int]]:
        """The batch's rows, shared out among the threads: where each part begins, its rows."""
        count = max(1, min(self.threads, self.batch // FEWEST_ROWS))
        edges = [self.batch * i // count for i in range(count + 1)]
        return [(begin, end - begin) for begin, end in itertools.pairwise(edges)]


class Workspace:
    """Arrays of one step. `forward` fills them, `backward` uses them up."""

    def __init__(self, shape: StackShape) -> None:
        self.shape = shape
        self.slots = SLOTS[shape.cell]
        self.blocks = np.array(shape.blocks(), np.int64)
        self.gates_of_input = np.array(self.slots.of_input, np.int64)
        self.gates_of_hidden = np.array(self.slots.of_hidden, np.int64)
        layers, units, rows = shape.num_layers, shape.units, shape.steps * shape.batch
        states, line = (shape.steps + 1) * shape.batch, self.slots.in_all * PANEL
        has_c = shape.cell == LSTM
        self.gates = aligned(layers, units, rows, line)
        self.h = aligned(layers, units, states, PANEL)
        self.c = aligned(layers, units, states, PANEL) if has_c else None
        self.tanh_c = aligned(layers, units, rows, PANEL) if has_c else None
        self.d_h = aligned(layers, units, states, PANEL)
        self.d_c = aligned(layers, units, shape.batch, PANEL)
        self.masked: list[Array | None] = [None] * layers
        self._masks: Array | None = None
        self._room_for_masked: Array | None = None
        self._pack_arrays()
        self._input_arrays()
        self.lines = np.zeros((layers, recurrence.LAYER_SIZE), np.int64)
        for layer in range(layers):
            self._write_line(layer)

    def _pack_arrays(self) -> None:
        shape, slots = self.shape, self.slots
        units, hidden = shape.units, len(slots.of_hidden)
        inputs = len(slots.of_input)
        depth = units * PANEL
        layers = shape.num_layers
        self.hidden_panels = aligned(layers, units * hidden, depth, PANEL)
        self.hidden_panels_back = aligned(layers, units, units * hidden * PANEL, PANEL)
        sizes = [columns_of(shape.input_size)] + [units] * (layers - 1)
        self.input_panels = [aligned(units * inputs, size * PANEL, PANEL) for size in sizes]
        self.input_panels_back = [aligned(size, units * inputs * PANEL, PANEL) for size in sizes]
        self.bias = aligned(layers, units, slots.in_all, PANEL)

    def _input_arrays(self) -> None:
        """The first layer's input: columns of numbers, or the vectors of all tokens."""
        shape = self.shape
        columns = columns_of(shape.input_size)
        if shape.vocabulary:
            self.table = aligned(shape.units, shape.vocabulary, self.slots.in_all * PANEL)
            self.d_table = aligned(*self.table.shape)
            self.source = aligned(columns, shape.vocabulary, PANEL)
            self.d_source = aligned(columns, shape.vocabulary, PANEL)
        else:
            self.source = aligned(columns, shape.steps * shape.batch, PANEL)
            self.d_source = aligned(columns, (shape.steps + 1) * shape.batch, PANEL)

    def _write_line(self, layer: int) -> None:
        shape, slots, r = self.shape, self.slots, recurrence
        first = layer == 0
        values = {
            r.CELL: shape.cell,
            r.STEPS: shape.steps,
            r.BATCH: shape.batch,
            r.UNITS: shape.units,
            r.SLOTS: slots.in_all,
            r.INPUT_SLOTS: len(slots.of_input),
            r.INPUT_BEGINS: slots.input_begins,
            r.HIDDEN_SLOTS: len(slots.of_hidden),
            r.HIDDEN_BEGINS: slots.hidden_begins,
            r.TABLE: self.table.ctypes.data if first and shape.vocabulary else 0,
            r.VOCABULARY: shape.vocabulary,
            r.INPUT_UNITS: columns_of(shape.input_size) if first else shape.units,
            r.SOURCE: (self.source if first else self.h[layer - 1]).ctypes.data,
            r.SOURCE_ROWS: (self.source if first else self.h[layer - 1]).shape[1],
            r.SOURCE_STATES: 0 if first else 1,
            r.D_SOURCE: 0 if first else self.d_h[layer - 1].ctypes.data,
            r.INPUT_PANELS: self.input_panels[layer].ctypes.data,
            r.INPUT_PANELS_BACK: self.input_panels_back[layer].ctypes.data,
            r.HIDDEN_PANELS: self.hidden_panels[layer].ctypes.data,
            r.HIDDEN_PANELS_BACK: self.hidden_panels_back[layer].ctypes.data,
            r.BIAS: self.bias[layer].ctypes.data,
            r.GATES: self.gates[layer].ctypes.data,
            r.H: self.h[layer].ctypes.data,
            r.D_H: self.d_h[layer].ctypes.data,
            r.D_C: self.d_c[layer].ctypes.data,
        }
        if self.c is not None and self.tanh_c is not None:
            values[r.C] = self.c[layer].ctypes.data
            values[r.TANH_C] = self.tanh_c[layer].ctypes.data
        for place, value in values.items():
            self.lines[layer, place] = value

    def ask_for_source_gradient(self, asked: bool) -> None:
        """Whether `backward` goes on to an input of numbers."""
        self.lines[0, recurrence.D_SOURCE] = self.d_source.ctypes.data if asked else 0

    def set_masks(self, masks: Array | None) -> None:
        """What each layer's output is multiplied by, (L, units, rows, 16); None for nothing.

        Rows are those of the gates, or the batch's if one mask serves all steps.
        """
        r, shape = recurrence, self.shape
        for layer in range(shape.num_layers):
            mask = None if masks is None else masks[layer]
            masked = None
            if mask is not None:
                masked = self._masked_arrays()[layer]
                self.lines[layer, r.MASK] = mask.ctypes.data
                self.lines[layer, r.MASK_STEPS] = mask.shape[1] // shape.batch
                self.lines[layer, r.MASKED] = masked.ctypes.data
            else:
                self.lines[layer, r.MASK] = 0
            self.masked[layer] = masked
            if layer + 1 < shape.num_layers:
                source = self.h[layer] if masked is None else masked
                self.lines[layer + 1, r.SOURCE] = source.ctypes.data
                self.lines[layer + 1, r.SOURCE_ROWS] = source.shape[1]
                self.lines[layer + 1, r.SOURCE_STATES] = int(masked is None)
        self._masks = masks

    def _masked_arrays(self) -> Array:
        if self._room_for_masked is None:
            self._room_for_masked = aligned(*self.gates.shape[:3], PANEL)
        return self._room_for_masked
