"""The arrays of a recurrent stack's training step, reused from step to step.

T steps, B batch rows, H hidden size, L layers, V vocabulary, E input size, G gates.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rondel.kernels.cell_kernels import CellFields, CellKernel
from rondel.kernels.kernel_records import Records, records
from rondel.kernels.simd.unit_groups import NOWHERE, PANEL, Array, Groups, aligned, count_groups
from rondel.kernels.training.layer_records import Block, RowRun, TrainingLayer

FEWEST_ROWS = 4


@dataclass(frozen=True)
class StackShape:
    """The sizes of a step. Its input is tokens of a `vocabulary`, or dense."""

    kernel: CellKernel
    num_layers: int
    hidden_size: int
    steps: int
    batch: int
    input_size: int
    vocabulary: int = 0
    """0 for a dense input (T, B, E)."""
    embedded: bool = True
    """Whether tokens have vectors (V, E); if not, the input is one-hot."""
    threads: int = 1

    @property
    def groups(self) -> int:
        """How many groups of 16 hold the hidden units."""
        return count_groups(self.hidden_size)

    def blocks(self) -> list[Block]:
        """Split the batch's rows among the threads."""
        count = max(1, min(self.threads, self.batch // FEWEST_ROWS))
        edges = [self.batch * i // count for i in range(count + 1)]
        return [Block(begin=begin, rows=end - begin) for begin, end in itertools.pairwise(edges)]


GROUPS_A_TASK = 4


def group_ranges(groups: int) -> list[tuple[int, int]]:
    """Split groups into ranges (`begin`, `end`), one for each task."""
    return [(i, min(i + GROUPS_A_TASK, groups)) for i in range(0, groups, GROUPS_A_TASK)]


class Workspace:
    """Arrays of one step. `forward` fills them; `backward` overwrites the gates."""

    def __init__(self, shape: StackShape) -> None:
        self.shape, self.slots = shape, shape.kernel.slots
        self.blocks = shape.blocks()
        self.block_records = records(*self.blocks)
        self.gates_of_input = np.array(self.slots.input, np.int64)
        self.gates_of_hidden = np.array(self.slots.hidden, np.int64)
        layers, groups, rows = shape.num_layers, shape.groups, shape.steps * shape.batch
        states = (shape.steps + 1) * shape.batch
        has_c, keeps = shape.kernel.has_c, shape.kernel.keeps
        self.gates = aligned(layers, groups, rows, self.slots.count * PANEL)
        self.h = aligned(layers, groups, states, PANEL)
        self.c = aligned(layers, groups, states, PANEL) if has_c else None
        self.kept = aligned(layers, groups, rows, PANEL) if keeps else None
        self.d_h = aligned(layers, groups, states, PANEL)
        self.d_c = aligned(layers, groups, shape.batch, PANEL)
        self.masked: list[Array | None] = [None] * layers
        self._masks: Array | None = None
        self._masked_memory: Array | None = None
        self._pack_arrays()
        self._input_arrays()
        self._row_runs()
        cell = shape.kernel.for_training()
        self.layers = records(*(self._layer(layer, cell) for layer in range(layers)))

    def _pack_arrays(self) -> None:
        shape, slots = self.shape, self.slots
        groups, hidden = shape.groups, len(slots.hidden)
        inputs = len(slots.input)
        depth = groups * PANEL
        layers = shape.num_layers
        self.hidden_panels = aligned(layers, groups * hidden, depth, PANEL)
        self.hidden_panels_back = aligned(layers, groups, groups * hidden * PANEL, PANEL)
        sizes = [count_groups(shape.input_size)] + [groups] * (layers - 1)
        self.input_panels = [aligned(groups * inputs, size * PANEL, PANEL) for size in sizes]
        self.input_panels_back = [aligned(size, groups * inputs * PANEL, PANEL) for size in sizes]
        self.bias = aligned(layers, groups, slots.count, PANEL)

    def _input_arrays(self) -> None:
        """Allocate the first layer's input: a dense one, or the vectors of all tokens."""
        shape = self.shape
        groups = count_groups(shape.input_size)
        if shape.vocabulary:
            self.table = aligned(shape.groups, shape.vocabulary, self.slots.count * PANEL)
            self.d_table = aligned(*self.table.shape)
            self.source = aligned(groups, shape.vocabulary, PANEL)
            self.d_source = aligned(groups, shape.vocabulary, PANEL)
        else:
            self.source = aligned(groups, shape.steps * shape.batch, PANEL)
            self.d_source = aligned(groups, (shape.steps + 1) * shape.batch, PANEL)

    def _row_runs(self) -> None:
        """List the rows that match those of the gates, in each array that weights multiply."""
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
        """Return a layer's input (groups, rows, 16), and whether it is in rows of states."""
        return (self.source, False) if layer == 0 else self._outputs_of(layer - 1)

    @property
    def outputs(self) -> tuple[Array, bool]:
        """The last layer's output (groups, rows, 16), and whether it is in rows of states."""
        return self._outputs_of(self.shape.num_layers - 1)

    def _outputs_of(self, layer: int) -> tuple[Array, bool]:
        masked = self.masked[layer]
        return (self.h[layer], True) if masked is None else (masked, False)

    def _layer(self, layer: int, cell: CellFields) -> TrainingLayer:
        shape, first = self.shape, layer == 0
        source, is_states = self.source_of(layer)
        return TrainingLayer(
            cell=cell,
            steps=shape.steps,
            batch=shape.batch,
            groups=shape.groups,
            vocabulary=shape.vocabulary,
            table=Groups.of(self.table) if first and shape.vocabulary else NOWHERE,
            input_groups=len(source),
            source=Groups.of(source),
            source_is_states=int(is_states),
            d_source=NOWHERE if first else Groups.of(self.d_h[layer - 1]),
            input_panels=self.input_panels[layer].ctypes.data,
            input_panels_back=self.input_panels_back[layer].ctypes.data,
            hidden_panels=self.hidden_panels[layer].ctypes.data,
            hidden_panels_back=self.hidden_panels_back[layer].ctypes.data,
            bias=self.bias[layer].ctypes.data,
            gates=Groups.of(self.gates[layer]),
            h=Groups.of(self.h[layer]),
            c=NOWHERE if self.c is None else Groups.of(self.c[layer]),
            kept=NOWHERE if self.kept is None else Groups.of(self.kept[layer]),
            d_h=Groups.of(self.d_h[layer]),
            d_c=Groups.of(self.d_c[layer]),
            mask=NOWHERE,
            mask_steps=0,
            masked=NOWHERE,
        )

    def request_source_gradient(self, requested: bool) -> None:
        """Set whether `backward` computes the gradient of a dense input."""
        self.layers[0]["d_source"] = Groups.of(self.d_source) if requested else NOWHERE

    def set_masks(self, masks: Array | None) -> None:
        """Set the factors of each layer's output, (L, groups, rows, 16); None for no dropout.

        Rows are those of gates, or the batch's to use one mask for all steps.
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
                layer["mask"] = Groups.of(masks[number])
                layer["mask_steps"] = masks.shape[2] // shape.batch
                layer["masked"] = Groups.of(masked)
                self.masked[number] = masked
            source, is_states = self.source_of(number)
            layer["source"] = Groups.of(source)
            layer["source_is_states"] = int(is_states)
        self._masks = masks

    def _masked_arrays(self) -> Array:
        if self._masked_memory is None:
            self._masked_memory = aligned(*self.gates.shape[:3], PANEL)
        return self._masked_memory
