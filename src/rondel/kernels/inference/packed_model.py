"""A model's weights, packed for the inference kernels.

V vocabulary, E input size, H hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rondel.kernels.cell_kernels import CellKernel
from rondel.kernels.inference.run_records import InferenceHead, InferenceLayer, Run, Scratch, States
from rondel.kernels.kernel_records import records
from rondel.kernels.simd.int8 import Matrix
from rondel.kernels.simd.int8_forms import FORM, LARGEST_WEIGHT, largest_activation
from rondel.kernels.simd.unit_groups import CACHE_LINE, PANEL, Array, Groups, aligned, count_groups

if TYPE_CHECKING:
    from rondel.cells.base import LayerParameters

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PackedMatrix:
    """A matrix (N, K) in panels of 16 columns, in single precision or in 8 bits."""

    weights: npt.NDArray[np.generic]
    start: npt.NDArray[np.int32] | None = None
    scale: Array | None = None


def _addresses(packed: PackedMatrix | None) -> Matrix:
    """Return a matrix's addresses; all 0 for None."""
    arrays = (None, None, None) if packed is None else (packed.weights, packed.start, packed.scale)
    weights, start, scale = (0 if array is None else array.ctypes.data for array in arrays)
    return Matrix(panels=weights, start=start, scale=scale)


def exact(blocks: Array) -> PackedMatrix:
    """Pack blocks of 16 rows (panels, 16, K), K a multiple of 16, in single precision."""
    count, _, depth = blocks.shape
    panels = aligned(count, depth, PANEL)
    panels[:] = blocks.swapaxes(1, 2)
    return PackedMatrix(panels)


def quantised(blocks: Array) -> PackedMatrix:
    """Pack blocks of 16 rows (panels, 16, K) in 8 bits, with a scale for each row."""
    count, _, depth = blocks.shape
    largest = np.abs(blocks).max(axis=2, initial=0.0)
    scale = aligned(count, PANEL)
    scale[:] = np.where(largest > 0, largest / LARGEST_WEIGHT, 1.0)
    whole = np.rint(blocks / scale[:, :, None]).astype(np.int8)
    panels = aligned(count, depth // 4, PANEL, 4, dtype=np.int8)
    panels[:] = whole.reshape(count, PANEL, depth // 4, 4).swapaxes(1, 2)
    start = aligned(count, PANEL, dtype=np.int32)
    # It wraps around (int32), as do the products that it corrects.
    start[:] = (-FORM.offset * whole.sum(axis=2, dtype=np.int64)).astype(np.int32)
    return PackedMatrix(panels, start, scale)


def _rows_in_blocks(rows: Array, depth: int) -> Array:
    """Return rows (N, K) in blocks of 16, padded with zeros to whole blocks and `depth` columns."""
    blocks = np.zeros((count_groups(len(rows)) * PANEL, depth), np.float32)
    blocks[: len(rows), : rows.shape[1]] = rows
    in_blocks: Array = blocks.reshape(-1, PANEL, depth)
    return in_blocks


def _gates_in_blocks(weight: Array, gates: Sequence[int], size: int, depth: int) -> Array:
    """Return blocks of 16 rows, each group's gates together: (groups * slots, 16, depth)."""
    groups = count_groups(size)
    blocks = np.zeros((groups * PANEL, len(gates), depth), np.float32)
    by_gate = weight.reshape(-1, size, weight.shape[1])
    blocks[:size, :, : weight.shape[1]] = by_gate[list(gates)].swapaxes(0, 1)
    by_unit = blocks.reshape(groups, PANEL, len(gates), depth).swapaxes(1, 2)
    in_blocks: Array = by_unit.reshape(-1, PANEL, depth)
    return in_blocks


class PackedModel:
    """A model as kernels read it. It is immutable, so any number of runs share it.

    Without a `head` it is a stack alone, whose runs have outputs but no logits.
    """

    def __init__(
        self,
        kernel: CellKernel,
        layers: Sequence[LayerParameters],
        embedding: Array | None,
        head: Array | None,
        head_bias: Array | None,
        *,
        int8: bool,
        largest_table: int,
    ) -> None:
        self.kernel, self.num_layers = kernel, len(layers)
        self.size = layers[0].weight_hh.shape[1]
        self.vocabulary = len(layers[0].weight_ih.T if embedding is None else embedding)
        self.groups, self.panels = count_groups(self.size), count_groups(self.vocabulary)
        self._cell = kernel.for_inference()
        self._table, self._embedding, first = self._first_input(layers[0], embedding, largest_table)
        pack = quantised if int8 else exact
        slots, depth = kernel.slots, self.groups * PANEL
        self._input = [first] + [
            pack(_gates_in_blocks(layer.weight_ih, slots.input, self.size, depth))
            for layer in layers[1:]
        ]
        self._hidden = [
            pack(_gates_in_blocks(layer.weight_hh, slots.hidden, self.size, depth))
            for layer in layers
        ]
        self._bias = [self._layer_bias(layer) for layer in layers]
        self._head = None if head is None else pack(_rows_in_blocks(head, depth))
        self._head_bias = head_bias
        self.head_bias = self.padded_bias()
        self.layers = records(*(self._layer(number) for number in range(len(layers))))

    def _layer_bias(self, layer: LayerParameters) -> Array:
        bias = aligned(self.groups, self.kernel.slots.count, PANEL)
        bias[:] = self.kernel.slots.bias(layer.bias_ih, layer.bias_hh, self.groups)
        return bias

    def _first_input(
        self, layer: LayerParameters, embedding: Array | None, largest_table: int
    ) -> tuple[Array | None, Array | None, PackedMatrix | None]:
        """Return a table of each token's input gates; or the embedding, and a packed matrix."""
        slots = self.kernel.slots
        if embedding is not None and self.vocabulary * len(layer.weight_ih) > largest_table:
            depth = count_groups(layer.weight_ih.shape[1]) * PANEL
            vectors = aligned(self.vocabulary, depth)
            vectors[:, : embedding.shape[1]] = embedding
            blocks = _gates_in_blocks(layer.weight_ih, slots.input, self.size, depth)
            return None, vectors, exact(blocks)
        gates = layer.weight_ih.T if embedding is None else embedding @ layer.weight_ih.T
        table = aligned(self.vocabulary, self.groups, slots.count, PANEL)
        table[:] = self._layer_bias(layer)
        in_slots = np.zeros((self.vocabulary, self.groups * PANEL), np.float32)
        for slot, gate in enumerate(slots.input, slots.input_begin):
            in_slots[:, : self.size] = gates[:, gate * self.size : (gate + 1) * self.size]
            table[:, :, slot] += in_slots.reshape(self.vocabulary, self.groups, PANEL)
        return table, None, None

    def padded_bias(self, forbidden: int | None = None) -> Array:
        """Return the head's bias; -inf for the padding and for the `forbidden` token."""
        padded = aligned(self.panels * PANEL)
        padded[: self.vocabulary] = 0 if self._head_bias is None else self._head_bias
        padded[self.vocabulary :] = -np.inf
        if forbidden is not None:
            padded[forbidden] = -np.inf
        return padded

    def _layer(self, number: int) -> InferenceLayer:
        return InferenceLayer(
            table=self._table.ctypes.data if number == 0 and self._table is not None else 0,
            bias=self._bias[number].ctypes.data,
            input_groups=self._input_groups if number == 0 else self.groups,
            input=_addresses(self._input[number]),
            hidden=_addresses(self._hidden[number]),
        )

    @property
    def _input_groups(self) -> int:
        """Groups of a token's vector, where there is an embedding."""
        return 0 if self._embedding is None else self._embedding.shape[1] // PANEL

    @property
    def weights_a_step(self) -> int:
        """How many weights one step multiplies by."""
        parts = [*self._input, *self._hidden, self._head]
        return sum(part.weights.size for part in parts if part is not None)

    def scratch_bytes(self, rows: int) -> int:
        """Return the size of a worker's scratch memory, in bytes, a multiple of a cache line."""
        # Used for one of these at a time: quantised activations with their scales, embedded
        # tokens, or the weights of a draw.
        size = rows * max(self._activations_row + 4, 4 * self._input_groups * PANEL)
        size = max(size, 4 * (self.panels * PANEL + self.panels))
        return -(-size // CACHE_LINE) * CACHE_LINE

    @property
    def _activations_row(self) -> int:
        return 2 * self.groups * PANEL

    def run(
        self,
        *,
        steps: int,
        rows: int,
        workers: int,
        states: States,
        gates: Array,
        arrivals: Integers,
        scratch: npt.NDArray[np.uint8],
        logits: Array | None,
        head_bias: Array,
    ) -> Run:
        """Return the record of a run, whose arrays the caller keeps alive.

        `gates` is (groups, T * B, slots * 16), `scratch` (workers, `scratch_bytes`), `logits`
        (T * B, panels * 16), or None to compute no logits.
        """
        return Run(
            cell=self._cell,
            layers=self.num_layers,
            groups=self.groups,
            steps=steps,
            rows=rows,
            workers=workers,
            arrivals=arrivals.ctypes.data,
            states=states,
            gates=Groups.of(gates),
            embedding=0 if self._embedding is None else self._embedding.ctypes.data,
            head=InferenceHead(
                panels=self.panels,
                weight=_addresses(self._head),
                bias=head_bias.ctypes.data,
                logits=0 if logits is None else logits.ctypes.data,
            ),
            largest_activation=largest_activation(self.groups * PANEL),
            scratch=Scratch(
                address=scratch.ctypes.data,
                size=scratch.shape[1],
                activations_row=self._activations_row,
            ),
        )
