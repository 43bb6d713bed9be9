"""What the training kernels read: a layer's sizes, weights and arrays; blocks and runs of rows.

A batch's rows are split into blocks, and a block goes through all steps of all layers by itself, so
that threads do not wait for one another. The rows of a block are together, step after step:

    gates and the like   row  T * begin + t * rows + i
    states               row  (T + 1) * begin + t * rows + i, where step 0 is the initial state

for the block's row i of `rows`, the batch's row `begin + i`. The arrays are those of
`workspace.Workspace`; see `rondel.kernels.records`.

T steps, B batch rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.kernels.cell_kernels import CellFields
from rondel.kernels.simd.columns import Columns

Tokens = npt.NDArray[np.int64]
NO_TOKENS: Tokens = np.zeros((0, 0), np.int64)


class Block(NamedTuple):
    """Rows of a batch that go through a pass together."""

    begin: int
    rows: int


class RowRun(NamedTuple):
    """Rows of two matrices that belong together, one after the other in both."""

    first: int
    """Among the gates (or logits)."""
    other: int
    """The first among what the weights multiply."""
    rows: int


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a pass. Panels and biases are addresses; what is not there is `NOWHERE`."""

    cell: CellFields
    steps: int
    batch: int
    units: int
    """Columns of 16 hidden units."""
    vocabulary: int
    table: Columns
    """First layer: each token's input gates (units, V, slots * 16); nowhere for other input."""
    input_units: int
    source: Columns
    """The input: of tokens, the vectors of the vocabulary."""
    source_is_states: int
    """1 if its rows are those of states, 0 if those of gates."""
    d_source: Columns
    """Where the input's gradient goes, in rows of states; nowhere if nobody asks."""
    input_panels: int
    input_panels_back: int
    hidden_panels: int
    hidden_panels_back: int
    bias: int
    gates: Columns
    h: Columns
    c: Columns
    kept: Columns
    d_h: Columns
    d_c: Columns
    """Of one step: (units, B, 16)."""
    mask: Columns
    """What the output is multiplied by (dropout)."""
    mask_steps: int
    """T, or 1 if one mask serves all steps."""
    masked: Columns
    """The product, in rows of gates."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The layer from outputs to logits, and their loss."""

    steps: int
    units: int
    panels: int
    """How many: 16 tokens each."""
    vocabulary: int
    weight: int
    """Address of panels, as is the next."""
    weight_back: int
    bias: int
    logits: int
    """Address (T * B, panels * 16), in rows of gates."""
    source: Columns
    source_is_states: int
    d_source: Columns
