"""What the inference kernels read: a run's sizes, its arrays, and its layers' weights.

Filled by `packed_model`, `reading` and `writing`; see `rondel.kernels.records`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rondel.kernels.cell_kernels import CellFields
from rondel.kernels.simd.columns import Columns
from rondel.kernels.simd.int8 import Matrix


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer's weights."""

    table: int
    """First layer: address of each token's input gates (V, units, slots * 16), biases included.
    0 if the input is a vector, of the layer below or of the embedding."""
    bias: int
    """Address (units, slots * 16)."""
    input_units: int
    input: Matrix
    hidden: Matrix


@dataclass(frozen=True, kw_only=True)
class Head:
    """The layer from states to logits."""

    panels: int
    """How many: 16 tokens each."""
    weight: Matrix
    bias: int
    logits: int
    """Address (rows, panels * 16); 0 if no logits are asked for."""


@dataclass(frozen=True, kw_only=True)
class States:
    """The states of all layers: `h` at one step or more, `c` at the latest only."""

    h: Columns
    """Of the first layer at the first step."""
    h_step: int
    """Distance in numbers, as are the next two."""
    h_layer: int
    c: Columns
    """Of the first layer; nowhere for a cell without."""
    c_layer: int


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """Memory that each worker has to itself."""

    address: int
    size: int
    """Bytes a worker."""
    activations_row: int
    """Bytes of a row of 8-bit products' activations."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of T steps by B rows (streams), shared by so many workers."""

    cell: CellFields
    layers: int
    units: int
    """Columns of 16 hidden units."""
    steps: int
    rows: int
    workers: int
    arrivals: int
    """Address of the integer in which workers count themselves at a barrier."""
    states: States
    gates: Columns
    """Of one layer at a time: (units, T * B, slots * 16)."""
    embedding: int
    """Address of the tokens' vectors (V, input units * 16), where there is no table."""
    head: Head
    largest_activation: int
    scratch: Scratch
