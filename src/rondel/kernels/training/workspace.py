"""The arrays of a recurrent stack's training step.

T steps, B batch rows, H hidden size, L layers, V vocabulary, E input size, G gates.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rondel.kernels.cell_kernels import CellFields, CellKernel
from rondel.kernels.records import Records, records
from rondel.kernels.simd.columns import NOWHERE, PANEL, Array, Columns, aligned, columns_of
from rondel.kernels.training.records import Block, Layer, RowRun

FEWEST_ROWS = 4


@dataclass(frozen=True)
class StackShape:
    """What arrays a step takes. The input is tokens, of a `vocabulary`, or else numbers."""

    kernel: CellKernel
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

    def blocks(self) -> list[Block]:
        """The batch's rows, shared out among the threads."""
        count = max(1, min(self.threads, self.batch // FEWEST_ROWS))
        edges = [self.batch * i // count for i in range(count + 1)]
        return [Block(begin=begin, rows=end - begin) for begin, end in itertools.pairwise(edges)]


UNITS_A_TASK = 4


def unit_ranges(units: int) -> list[tuple[int, int]]:
    """Units as `begin`, `end`: those that one task packs, or sums the gradients of."""
    return [(begin, min(begin + UNITS_A_TASK, units)) for begin in range(0, units, UNITS_A_TASK)]


class Workspace:
    """Arrays of one step. `forward` fills them, `backward` uses them up."""

    def __init__(self, shape: StackShape) -> None:
        self.shape, self.slots = shape, shape.kernel.slots
        self.blocks = shape.blocks()
        self.block_records = records(*self.blocks)
        self.gates_of_input = np.array(self.slots.input, np.int64)
        self.gates_of_hidden = np.array(self.slots.hidden, np.int64)
        layers, units, rows = shape.num_layers, shape.units, shape.steps * shape.batch
        states = (shape.steps + 1) * shape.batch
        has_c, keeps = shape.kernel.has_c, shape.kernel.keeps
        self.gates = aligned(layers, units, rows, self.slots.count * PANEL)
        self.h = aligned(layers, units, states, PANEL)
        self.c = aligned(layers, units, states, PANEL) if has_c else None
        self.kept = aligned(layers, units, rows, PANEL) if keeps else None
        self.d_h = aligned(layers, units, states, PANEL)
        self.d_c = aligned(layers, units, shape.batch, PANEL)
        self.masked: list[Array | None] = [None] * layers
        self._masks: Array | None = None
        self._room_for_masked: Array | None = None
        self._pack_arrays()
        self._input_arrays()
        self._row_runs()
        cell = shape.kernel.for_training()
        self.layers = records(*(self._layer(layer, cell) for layer in range(layers)))

    def _pack_arrays(self) -> None:
        shape, slots = self.shape, self.slots
        units, hidden = shape.units, len(slots.hidden)
        inputs = len(slots.input)
        depth = units * PANEL
        layers = shape.num_layers
        self.hidden_panels = aligned(layers, units * hidden, depth, PANEL)
        self.hidden_panels_back = aligned(layers, units, units * hidden * PANEL, PANEL)
        sizes = [columns_of(shape.input_size)] + [units] * (layers - 1)
        self.input_panels = [aligned(units * inputs, size * PANEL, PANEL) for size in sizes]
        self.input_panels_back = [aligned(size, units * inputs * PANEL, PANEL) for size in sizes]
        self.bias = aligned(layers, units, slots.count, PANEL)

    def _input_arrays(self) -> None:
        """The first layer's input: columns of numbers, or the vectors of all tokens."""
        shape = self.shape
        columns = columns_of(shape.input_size)
        if shape.vocabulary:
            self.table = aligned(shape.units, shape.vocabulary, self.slots.count * PANEL)
            self.d_table = aligned(*self.table.shape)
            self.source = aligned(columns, shape.vocabulary, PANEL)
            self.d_source = aligned(columns, shape.vocabulary, PANEL)
        else:
            self.source = aligned(columns, shape.steps * shape.batch, PANEL)
            self.d_source = aligned(columns, (shape.steps + 1) * shape.batch, PANEL)

    def _row_runs(self) -> None:
        """Which rows a gradient's sums go over, beside those of the gates."""
        steps = self.shape.steps

        def runs(others: Callable[[Block], int]) -> Records:
            return records(
                *(
                    RowRun(first=steps * block.begin, other=others(block), rows=steps * block.rows)
                    for block in self.blocks
                )
            )

        self.runs_of_states = runs(lambda block: (steps + 1) * block.begin)
        self.runs_of_outputs = runs(lambda block: (steps + 1) * block.begin + block.rows)
        self.runs_of_gates = runs(lambda block: steps * block.begin)
        self.runs_of_vocabulary = records(RowRun(first=0, other=0, rows=self.shape.vocabulary))

    def source_of(self, layer: int) -> tuple[Array, bool]:
        """A layer's input (units, rows, 16), and whether its rows are those of states."""
        return (self.source, False) if layer == 0 else self._outputs_of(layer - 1)

    @property
    def outputs(self) -> tuple[Array, bool]:
        """The last layer's output, as `source_of` has it."""
        return self._outputs_of(self.shape.num_layers - 1)

    def _outputs_of(self, layer: int) -> tuple[Array, bool]:
        masked = self.masked[layer]
        return (self.h[layer], True) if masked is None else (masked, False)

    def _layer(self, layer: int, cell: CellFields) -> Layer:
        shape, first = self.shape, layer == 0
        source, is_states = self.source_of(layer)
        return Layer(
            cell=cell,
            steps=shape.steps,
            batch=shape.batch,
            units=shape.units,
            vocabulary=shape.vocabulary,
            table=Columns.of(self.table) if first and shape.vocabulary else NOWHERE,
            input_units=len(source),
            source=Columns.of(source),
            source_is_states=int(is_states),
            d_source=NOWHERE if first else Columns.of(self.d_h[layer - 1]),
            input_panels=self.input_panels[layer].ctypes.data,
            input_panels_back=self.input_panels_back[layer].ctypes.data,
            hidden_panels=self.hidden_panels[layer].ctypes.data,
            hidden_panels_back=self.hidden_panels_back[layer].ctypes.data,
            bias=self.bias[layer].ctypes.data,
            gates=Columns.of(self.gates[layer]),
            h=Columns.of(self.h[layer]),
            c=NOWHERE if self.c is None else Columns.of(self.c[layer]),
            kept=NOWHERE if self.kept is None else Columns.of(self.kept[layer]),
            d_h=Columns.of(self.d_h[layer]),
            d_c=Columns.of(self.d_c[layer]),
            mask=NOWHERE,
            mask_steps=0,
            masked=NOWHERE,
        )

    def ask_for_source_gradient(self, asked: bool) -> None:
        """Whether `backward` goes on to an input of numbers."""
        self.layers[0]["d_source"] = Columns.of(self.d_source) if asked else NOWHERE

    def set_masks(self, masks: Array | None) -> None:
        """What each layer's output is multiplied by, (L, units, rows, 16); None for nothing.

        Rows are those of the gates, or the batch's if one mask serves all steps.
        """
        if masks is None and self._masks is None:
            return
        shape = self.shape
        for number, layer in enumerate(self.layers):
            if masks is None:
                layer["mask"] = NOWHERE
                self.masked[number] = None
            else:
                masked = self._masked_arrays()[number]
                layer["mask"] = Columns.of(masks[number])
                layer["mask_steps"] = masks.shape[2] // shape.batch
                layer["masked"] = Columns.of(masked)
                self.masked[number] = masked
            source, is_states = self.source_of(number)
            layer["source"] = Columns.of(source)
            layer["source_is_states"] = int(is_states)
        self._masks = masks

    def _masked_arrays(self) -> Array:
        if self._room_for_masked is None:
            self._room_for_masked = aligned(*self.gates.shape[:3], PANEL)
        return self._room_for_masked
