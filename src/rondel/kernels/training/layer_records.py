"""Records that the training kernels read: a layer's sizes and arrays; blocks and runs of rows.

A batch's rows are split into blocks, and each block goes through all steps of all layers without
waiting for the others. A block's rows are contiguous, step after step:

    "rows of gates"    row  T * begin + t * rows + i
    "rows of states"   row  (T + 1) * begin + t * rows + i, where step 0 is the initial state

for the block's row i of `rows`, which is the batch's row `begin + i`. The arrays are those of
`workspace.Workspace`; see `rondel.kernels.kernel_records`.

T steps, B batch rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.kernels.cell_kernels import CellFields
from rondel.kernels.simd.unit_groups import Groups

Tokens = npt.NDArray[np.int64]
NO_TOKENS: Tokens = np.zeros((0, 0), np.int64)


class Block(NamedTuple):
    """Rows of a batch that go through a pass together."""

    begin: int
    rows: int


class RowRun(NamedTuple):
    """Matching rows of two matrices, contiguous in both."""

    first: int
    """The first row of gates (or logits)."""
    other: int
    """The first row of what the weights multiply."""
    rows: int


@dataclass(frozen=True, kw_only=True)
class TrainingLayer:
    """One layer of a pass. Panels and biases are addresses; what is missing is `NOWHERE`."""

    cell: CellFields
    steps: int
    batch: int
    groups: int
    """Of 16 hidden units each."""
    vocabulary: int
    table: Groups
    """First layer: each token's input gates (groups, V, slots * 16); missing for dense input."""
    input_groups: int
    source: Groups
    """The dense input, or, for tokens, the vectors of the vocabulary."""
    source_is_states: int
    """1 if it is in rows of states, 0 if in rows of gates."""
    d_source: Groups
    """The input's gradient, in rows of states; missing if it is not requested."""
    input_panels: int
    input_panels_back: int
    hidden_panels: int
    hidden_panels_back: int
    bias: int
    gates: Groups
    h: Groups
    c: Groups
    kept: Groups
    d_h: Groups
    d_c: Groups
    """Of one step: (groups, B, 16)."""
    mask: Groups
    """Factors of the output (dropout)."""
    mask_steps: int
    """T, or 1 if one mask is used for all steps."""
    masked: Groups
    """The output times the mask, in rows of gates."""


@dataclass(frozen=True, kw_only=True)
class TrainingHead:
    """The layer from outputs to logits, and their loss."""

    steps: int
    groups: int
    panels: int
    """How many, of 16 tokens each."""
    vocabulary: int
    weight: int
    """Address of panels, as is `weight_back`."""
    weight_back: int
    bias: int
    logits: int
    """Address (T * B, panels * 16), in rows of gates."""
    source: Groups
    source_is_states: int
    d_source: Groups
