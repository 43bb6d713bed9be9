"""A model's weights, packed as `rondel.kernels.inference.running` reads them.

V vocabulary, E input size, H hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rondel.kernels.inference import running as r
from rondel.kernels.simd.int8 import FORM, LARGEST_WEIGHT, largest_activation
from rondel.kernels.simd.matmul import PANEL, aligned
from rondel.kernels.simd.packing import columns_of, slot_bias
from rondel.kernels.simd.pointwise import SLOTS

if TYPE_CHECKING:
    from rondel.cells.base import LayerParameters

Array = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
LINE = 64  # bytes of the cache that one processor writes at a time


@dataclass(frozen=True)
class Panels:
    """A matrix (N, K) as panels of 16 columns, in single precision or in 8 bits."""

    weights: npt.NDArray[np.generic]
    start: npt.NDArray[np.int32] | None = None
    scale: Array | None = None

    def addresses(self) -> tuple[int, int, int]:
        """Of the weights, and of what goes with those of 8 bits."""
        if self.start is None or self.scale is None:
            return self.weights.ctypes.data, 0, 0
        return self.weights.ctypes.data, self.start.ctypes.data, self.scale.ctypes.data


def exact(blocks: Array) -> Panels:
    """Panels of rows that stand in blocks of 16 already: (panels, 16, K), K a multiple of 16."""
    count, _, depth = blocks.shape
    panels = aligned(count, depth, PANEL)
    panels[:] = blocks.swapaxes(1, 2)
    return Panels(panels)


def quantised(blocks: Array) -> Panels:
    """The same in 8 bits, each row with a scale of its own."""
    count, _, depth = blocks.shape
    largest = np.abs(blocks).max(axis=2, initial=0.0)
    scale = aligned(count, PANEL)
    scale[:] = np.where(largest > 0, largest / LARGEST_WEIGHT, 1.0)
    whole = np.rint(blocks / scale[:, :, None]).astype(np.int8)
    panels = aligned(count, depth // 4, PANEL, 4, dtype=np.int8)
    panels[:] = whole.reshape(count, PANEL, depth // 4, 4).swapaxes(1, 2)
    start = aligned(count, PANEL, dtype=np.int32)
    # Past 32 bits it comes round again, as the products that it sets right do.
    start[:] = (-FORM.offset * whole.sum(axis=2, dtype=np.int64)).astype(np.int32)
    return Panels(panels, start, scale)


def _rows_in_blocks(rows: Array, depth: int) -> Array:
    """Rows (N, K) in blocks of 16, with zeros up to whole blocks and to `depth` columns."""
    blocks = np.zeros((columns_of(len(rows)) * PANEL, depth), np.float32)
    blocks[: len(rows), : rows.shape[1]] = rows
    in_blocks: Array = blocks.reshape(-1, PANEL, depth)
    return in_blocks


def _gates_in_blocks(weight: Array, gates: Sequence[int], size: int, depth: int) -> Array:
    """Gates of 16 units after those of the 16 before: (units * slots, 16, depth)."""
    units = columns_of(size)
    blocks = np.zeros((units * PANEL, len(gates), depth), np.float32)
    by_gate = weight.reshape(-1, size, weight.shape[1])
    blocks[:size, :, : weight.shape[1]] = by_gate[list(gates)].swapaxes(0, 1)
    by_unit = blocks.reshape(units, PANEL, len(gates), depth).swapaxes(1, 2)
    in_blocks: Array = by_unit.reshape(-1, PANEL, depth)
    return in_blocks


class Plan:
    """A model as kernels take it. It is only read once it is made: any number of runs share it.

    Without a `head` it is a stack alone, whose runs give outputs and no logits.
    """

    def __init__(
        self,
        cell: int,
        layers: Sequence[LayerParameters],
        embedding: Array | None,
        head: Array | None,
        head_bias: Array | None,
        *,
        int8: bool,
        largest_table: int,
    ) -> None:
        self.cell, self.num_layers, self.int8 = cell, len(layers), int8
        self.size = layers[0].weight_hh.shape[1]
        self.vocabulary = len(layers[0].weight_ih.T if embedding is None else embedding)
        self.slots = SLOTS[cell]
        self.units, self.columns = columns_of(self.size), columns_of(self.vocabulary)
        depth = self.units * PANEL
        pack = quantised if int8 else exact
        self.bias = aligned(self.num_layers, self.units, self.slots.in_all, PANEL)
        for number, layer in enumerate(layers):
            self.bias[number] = slot_bias(cell, layer.bias_ih, layer.bias_hh, self.units)
        self._input: list[Panels | None] = []
        self._hidden: list[Panels] = []
        for number, layer in enumerate(layers):
            of_hidden = _gates_in_blocks(layer.weight_hh, self.slots.of_hidden, self.size, depth)
            self._hidden.append(pack(of_hidden))
            if number > 0:
                of_input = _gates_in_blocks(layer.weight_ih, self.slots.of_input, self.size, depth)
                self._input.append(pack(of_input))
        self.table: Array | None = None
        self.embedding: Array | None = None
        self._input.insert(0, self._first_input(layers[0], embedding, largest_table))
        self._head = None if head is None else pack(_rows_in_blocks(head, depth))
        self._head_bias = head_bias
        self.head_bias = self.padded_bias()
        self.lines = self._lines()

    def _first_input(
        self, layer: LayerParameters, embedding: Array | None, largest_table: int
    ) -> Panels | None:
        """A table of what each token brings to the gates; or its vector, and panels for that."""
        if embedding is not None and self.vocabulary * len(layer.weight_ih) > largest_table:
            columns = columns_of(layer.weight_ih.shape[1])
            self.embedding = aligned(self.vocabulary, columns * PANEL)
            self.embedding[:, : embedding.shape[1]] = embedding
            self.input_units = columns
            return exact(
                _gates_in_blocks(layer.weight_ih, self.slots.of_input, self.size, columns * PANEL)
            )
        gates = layer.weight_ih.T if embedding is None else embedding @ layer.weight_ih.T
        self.input_units = 0
        self.table = aligned(self.vocabulary, self.units, self.slots.in_all, PANEL)
        self.table[:] = self.bias[0]
        in_slots = np.zeros((self.vocabulary, self.units * PANEL), np.float32)
        for slot, gate in enumerate(self.slots.of_input, self.slots.input_begins):
            in_slots[:, : self.size] = gates[:, gate * self.size : (gate + 1) * self.size]
            self.table[:, :, slot] += in_slots.reshape(self.vocabulary, self.units, PANEL)
        return None

    def padded_bias(self, forbidden: int | None = None) -> Array:
        """The head's bias; one token's, and what stands for none, is -inf."""
        padded = aligned(self.columns * PANEL)
        padded[: self.vocabulary] = 0 if self._head_bias is None else self._head_bias
        padded[self.vocabulary :] = -np.inf
        if forbidden is not None:
            padded[forbidden] = -np.inf
        return padded

    def _lines(self) -> Integers:
        lines = np.zeros((self.num_layers, r.LAYER_SIZE), np.int64)
        for number, (given, hidden) in enumerate(zip(self._input, self._hidden, strict=True)):
            line = lines[number]
            line[r.BIAS] = self.bias[number].ctypes.data
            line[r.INPUT_UNITS] = self.units if number else self.input_units
            if given is not None:
                line[r.INPUT_PANELS : r.INPUT_SCALE + 1] = given.addresses()
            line[r.HIDDEN_PANELS : r.HIDDEN_SCALE + 1] = hidden.addresses()
        if self.table is not None:
            lines[0, r.TABLE] = self.table.ctypes.data
        return lines

    @property
    def numbers_a_step(self) -> int:
        """Weights that one step multiplies by."""
        parts = [*self._input, *self._hidden, self._head]
        return sum(part.weights.size for part in parts if part is not None)

    def job(self, steps: int, rows: int, gates_rows: int, members: int) -> Integers:
        """A job's sizes and the addresses of the weights."""
        job = np.zeros(r.JOB_SIZE, np.int64)
        slots = self.slots
        job[r.CELL : r.MEMBERS + 1] = (
            self.cell, self.num_layers, self.units,
            slots.in_all, len(slots.of_input), slots.input_begins,
            len(slots.of_hidden), slots.hidden_begins,
            steps, rows, members,
        )  # fmt: skip
        job[r.GATES_ROWS] = gates_rows
        job[r.EMBEDDING] = 0 if self.embedding is None else self.embedding.ctypes.data
        if self._head is not None:
            job[r.HEAD_PANELS : r.HEAD_SCALE + 1] = self._head.addresses()
        job[r.HEAD_COLUMNS] = self.columns
        job[r.LIMIT] = largest_activation(self.units * PANEL)
        # Activations in 16 bits and what 1 stands for, vectors of tokens, weights of a draw: one
        # at a time.
        row = 2 * self.units * PANEL
        size = gates_rows * max(row + 4, 4 * self.input_units * PANEL)
        size = max(size, 4 * (self.columns * PANEL + self.columns))
        job[r.SCRATCH_ROW], job[r.SCRATCH_SIZE] = row, -(-size // LINE) * LINE
        return job
