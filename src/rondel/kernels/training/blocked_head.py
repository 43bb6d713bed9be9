"""A linear head over a large vocabulary with its softmax and cross-entropy, in blocks.

Logits exist for one chunk of positions at a time, transposed, in blocks of the vocabulary that stay
in the L2 cache: `z[block, panel, word, lane]` for a panel's 16 positions. So both the head's matrix
and the logits are read in the order in which they lie, and neither is packed. Each block has its
own largest logit and sum of exponentials, which `combine` joins (the online softmax of Milakov &
Gimelshein 2018): exponentials are computed once, and a factor makes gradients of them.

A block is one task whichever thread runs it, and blocks are joined in their order: the bits do not
depend on the number of threads.

N positions (of a chunk), H input size, V vocabulary.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.simd.columns import exponentiate_columns, scale_columns
from rondel.kernels.simd.matmul import Left, Panels, multiply
from rondel.kernels.simd.rows import copy_row
from rondel.kernels.simd.unit_groups import BYTES, PANEL, Array, Groups, aligned, count_groups
from rondel.kernels.threads.team import Task, Team

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

WORDS = 256
"""Words of a block: with a chunk's positions, their logits and weights fit an L2 cache."""
LOGITS_BYTES = 1 << 24
"""About how much memory the logits of a chunk may take."""
FEWEST_POSITIONS = 256
"""Fewer in a chunk would read and write the matrix's gradient too often."""
STEP = 64
"""A chunk is a multiple of so many positions, to fill the widest tiles of a product."""


@compiled
def _exponentials(
    block: int,
    weight_VH: Array,
    bias_V: Array,
    inputs: Array,
    panels: int,
    targets_N: Ids,
    z: Array,
    largest: Array,
    sums: Array,
    chosen_N: Array,
) -> None:
    """Compute a block's exponentials, largest logits and sums, and the logits of its targets.

    `inputs` (panels, H, 16) are the positions' vectors, transposed.
    """
    size = weight_VH.shape[1]
    first = block * WORDS
    words = min(WORDS, weight_VH.shape[0] - first)
    left = Left(
        address=weight_VH.ctypes.data + BYTES * first * size,
        row=size,
        k=1,
        block=0,
        block_size=size,
        blocks=1,
    )
    right = Panels(address=inputs.ctypes.data, distance=size * PANEL)
    logits = Groups(address=z[block].ctypes.data, group=WORDS * PANEL, row=PANEL)
    multiply(words, panels, left, right, logits, 0)
    bias = bias_V.ctypes.data + BYTES * first
    for panel in range(panels):
        column = panel * PANEL
        for lane in range(PANEL):
            word = targets_N[column + lane] - first
            if 0 <= word < words:
                chosen_N[column + lane] = z[block, panel, word, lane] + bias_V[first + word]
        exponentiate_columns(
            words,
            z[block, panel].ctypes.data,
            bias,
            largest[block].ctypes.data + BYTES * column,
            sums[block].ctypes.data + BYTES * column,
        )


@compiled
def _weight_gradient(
    block: int,
    z: Array,
    panels: int,
    factors: Array,
    targets_N: Ids,
    scales_N: Array,
    inputs: Array,
    accumulate: int,
    d_weight: Array,
    d_bias_V: Array,
) -> None:
    """Make gradients of a block's exponentials; compute, or add to, those of matrix and bias.

    `inputs` (groups, positions, 16) are the positions' vectors, `d_weight` (V, groups * 16).
    """
    first = block * WORDS
    words = min(WORDS, d_bias_V.size - first)
    totals = np.zeros((WORDS, PANEL), np.float32)
    for panel in range(panels):
        column = panel * PANEL
        by = factors[block].ctypes.data + BYTES * column
        scale_columns(words, z[block, panel].ctypes.data, by, totals.ctypes.data)
        for lane in range(PANEL):
            word = targets_N[column + lane] - first
            if 0 <= word < words:
                z[block, panel, word, lane] -= scales_N[column + lane]
                totals[word, lane] -= scales_N[column + lane]
    for word in range(words):
        total = d_bias_V[first + word] if accumulate == 1 else np.float32(0.0)
        for lane in range(PANEL):
            total += totals[word, lane]
        d_bias_V[first + word] = total
    width = d_weight.shape[1]
    left = Left(
        address=z[block].ctypes.data,
        row=PANEL,
        k=1,
        block=WORDS * PANEL,
        block_size=PANEL,
        blocks=panels,
    )
    right = Panels(address=inputs.ctypes.data, distance=inputs.shape[1] * PANEL)
    out = Groups(address=d_weight.ctypes.data + BYTES * first * width, group=PANEL, row=width)
    multiply(words, inputs.shape[0], left, right, out, accumulate)


@compiled
def _input_gradient(begin: int, end: int, weight_VH: Array, z: Array, out: Array) -> None:
    """Compute the gradient (positions, groups * 16) of the positions of panels `begin` to `end`."""
    words = len(weight_VH)
    width = out.shape[1]
    packed = np.zeros((width // PANEL, WORDS, PANEL), np.float32)
    for block in range((words + WORDS - 1) // WORDS):
        first = block * WORDS
        count = min(WORDS, words - first)
        _pack(weight_VH, first, count, packed)
        for panel in range(begin, end):
            left = Left(
                address=z[block, panel].ctypes.data,
                row=1,
                k=PANEL,
                block=0,
                block_size=count,
                blocks=1,
            )
            right = Panels(address=packed.ctypes.data, distance=WORDS * PANEL)
            target = Groups(address=out[panel * PANEL].ctypes.data, group=PANEL, row=width)
            multiply(PANEL, width // PANEL, left, right, target, min(block, 1))


@compiled
def _pack(weight_VH: Array, first: int, count: int, packed: Array) -> None:
    """Copy `count` rows of a matrix from `first` on to groups (groups, rows, 16)."""
    size = weight_VH.shape[1]
    whole = size // PANEL
    for word in range(count):
        source = weight_VH.ctypes.data + BYTES * (first + word) * size
        for group in range(whole):
            target = packed.ctypes.data + BYTES * (group * packed.shape[1] + word) * PANEL
            copy_row(PANEL, source + BYTES * group * PANEL, target)
        for unit in range(whole * PANEL, size):
            packed[whole, word, unit - whole * PANEL] = weight_VH[first + word, unit]


def positions_of_chunk(positions: int, vocabulary: int) -> int:
    """How many of the positions have logits at a time, a multiple of `STEP`."""
    fit = LOGITS_BYTES // (BYTES * vocabulary) // STEP * STEP
    return min(max(FEWEST_POSITIONS, fit), -(-positions // STEP) * STEP)


class BlockedHead:
    """The arrays of a head for chunks of up to `positions` positions, reused from step to step.

    ::

        head = BlockedHead(hidden_size, vocabulary, positions_of_chunk(len(x_NH), vocabulary))
        nll_N = head.forward(team, weight_VH, bias_V, x_NH, targets_N)
        d_x_NH = head.backward(team, weight_VH, scales_N, d_weight, d_bias_V, accumulate=False)
    """

    def __init__(self, size: int, vocabulary: int, positions: int) -> None:
        self.positions, self._size = positions, size
        self._blocks = -(-vocabulary // WORDS)
        panels = count_groups(positions)
        self._z = aligned(self._blocks, panels, WORDS, PANEL)
        self._largest = aligned(self._blocks, positions)
        self._sums = aligned(self._blocks, positions)
        self._factors = aligned(self._blocks, positions)
        self._chosen_N = aligned(positions)
        self._scales_N = aligned(positions)
        self._targets_N: Ids = np.empty(positions, np.int64)
        self._columns = aligned(panels, size, PANEL)
        self._rows = aligned(count_groups(size), positions, PANEL)
        self._panels, self._counted = 0, 0
        self._shares: Doubles = np.empty(0)

    def forward(
        self, team: Team, weight_VH: Array, bias_V: Array, x_NH: Array, targets_N: Ids
    ) -> Doubles:
        """Return -ln p of each target (N,) in nats; 0 for those that are negative."""
        self._take(x_NH, targets_N)
        tasks: list[Task] = [
            partial(
                _exponentials,
                block,
                weight_VH,
                bias_V,
                self._columns,
                self._panels,
                self._targets_N,
                self._z,
                self._largest,
                self._sums,
                self._chosen_N,
            )
            for block in range(self._blocks)
        ]
        team.run(tasks)
        return self._combine()

    def _take(self, x_NH: Array, targets_N: Ids) -> None:
        """Copy the input, and pad it to whole panels with positions that do not count."""
        count, size = x_NH.shape
        self._counted, self._panels = count, count_groups(count)
        padded = self._panels * PANEL
        whole = np.zeros((padded, len(self._rows) * PANEL), np.float32)
        whole[:count, :size] = x_NH
        self._columns[: self._panels] = whole[:, :size].reshape(-1, PANEL, size).swapaxes(1, 2)
        self._rows[:, :padded] = whole.reshape(padded, -1, PANEL).swapaxes(0, 1)
        self._targets_N[:count] = targets_N
        self._targets_N[count:] = -1

    def _combine(self) -> Doubles:
        """Join the blocks' sums, in double precision."""
        count = self._counted
        largest = self._largest[:, :count].astype(np.float64)
        top_N = largest.max(axis=0)
        # No NumPy warning for infinite logits: the training loop reports the loss.
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            shares = np.exp(largest - top_N)
            total_N = (shares * self._sums[:, :count]).sum(axis=0)
            self._shares = shares / total_N
            nll_N: Doubles = np.log(total_N) + top_N - self._chosen_N[:count]
        nll_N[self._targets_N[:count] < 0] = 0
        return nll_N

    def backward(
        self,
        team: Team,
        weight_VH: Array,
        scales_N: npt.NDArray[np.floating[Any]],
        d_weight: Array,
        d_bias_V: Array,
        *,
        accumulate: bool,
    ) -> Array:
        """Return the gradient of the input (N, H), given those of the last `forward`'s results.

        Writes the gradients of `d_weight` (V, H padded to groups of 16) and `d_bias_V`, or, to
        `accumulate`, adds to them.
        """
        count, padded = self._counted, self._panels * PANEL
        self._scales_N[:count] = np.where(self._targets_N[:count] < 0, 0, scales_N)
        self._scales_N[count:padded] = 0
        with np.errstate(invalid="ignore", over="ignore"):
            self._factors[:, :count] = self._shares * self._scales_N[:count]
        self._factors[:, count:padded] = 0
        team.run(
            [
                partial(
                    _weight_gradient,
                    block,
                    self._z,
                    self._panels,
                    self._factors,
                    self._targets_N,
                    self._scales_N,
                    self._rows,
                    int(accumulate),
                    d_weight,
                    d_bias_V,
                )
                for block in range(self._blocks)
            ]
        )
        out = np.empty((padded, len(self._rows) * PANEL), np.float32)
        # As few as there are threads: each packs the whole matrix, block by block.
        edges = [self._panels * i // team.threads for i in range(team.threads + 1)]
        team.run(
            [
                partial(_input_gradient, begin, end, weight_VH, self._z, out)
                for begin, end in pairwise(edges)
                if begin < end
            ]
        )
        return out[:count, : self._size]
