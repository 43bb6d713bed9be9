"""Records that the inference kernels read: a run's sizes and arrays, and its layers' weights.

Filled by `packed_model`, `sequence` and `streams`; see `rondel.kernels.kernel_records`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rondel.kernels.cell_kernels import CellFields
from rondel.kernels.simd.int8 import Matrix
from rondel.kernels.simd.unit_groups import Groups


@dataclass(frozen=True, kw_only=True)
class InferenceLayer:
    """One layer's weights."""

    table: int
    """First layer: address of each token's input gates (V, groups, slots * 16), biases included.
    0 if the input is a vector, from the layer below or the embedding."""
    bias: int
    """Address (groups, slots * 16)."""
    input_groups: int
    input: Matrix
    hidden: Matrix


@dataclass(frozen=True, kw_only=True)
class InferenceHead:
    """The layer from states to logits."""

    panels: int
    """How many, of 16 tokens each."""
    weight: Matrix
    bias: int
    logits: int
    """Address (rows, panels * 16); 0 to compute no logits."""


@dataclass(frozen=True, kw_only=True)
class States:
    """The states of all layers: `h` at one step or more, `c` at the last step only."""

    h: Groups
    """Of the first layer at the first step."""
    h_step: int
    """Distance in numbers, as are `h_layer` and `c_layer`."""
    h_layer: int
    c: Groups
    """Of the first layer; `NOWHERE` for a cell without a second state."""
    c_layer: int


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """Private memory of each worker."""

    address: int
    size: int
    """Bytes for each worker."""
    activations_row: int
    """Bytes of a row of quantised activations."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of T steps by B rows (streams), shared among workers."""

    cell: CellFields
    layers: int
    groups: int
    """Of 16 hidden units each."""
    steps: int
    rows: int
    workers: int
    arrivals: int
    """Address of the integer that counts arrivals at the barrier."""
    states: States
    gates: Groups
    """Of one layer at a time: (groups, T * B, slots * 16)."""
    embedding: int
    """Address of the tokens' vectors (V, input groups * 16), where there is no table."""
    head: InferenceHead
    largest_activation: int
    scratch: Scratch
