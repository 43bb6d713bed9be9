"""A stack of recurrent layers as data: its shape, and its arrays under a prefix.

Shapes: V vocabulary, E embedding, H hidden size, L layers, G*H gate rows, B batch, Z constant size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rondel.cells import Cell, build_cell
from rondel.cells.base import LayerParameters
from rondel.engine.base import EngineState, Floats, Ids
from rondel.errors import InputError
from rondel.settings import ModelConfig
from rondel.values import shown


@dataclass(frozen=True)
class StackConfig:
    """The shape of a stack that reads tokens.

    With a `constant_size`, its first layer reads that many numbers besides each token, the same at
    every step: what they add to that layer's gates is the last array of the state (1, B, G*H), so
    that code which selects, repeats or stores states handles them too.
    """

    cell: Cell
    num_layers: int
    hidden_size: int
    vocab_size: int
    constant_size: int = 0

    @classmethod
    def of(cls, config: ModelConfig | StackConfig) -> StackConfig:
        """Return the shape of a model's stack `core`, whose outputs predict the next token."""
        if isinstance(config, StackConfig):
            return config
        cell = build_cell(config)
        return cls(cell, config.num_layers, config.hidden_size, config.vocab_size)

    def initial_state(self, batch_size: int) -> EngineState:
        """Return zeros: (L, B, H) for each of the cell's states, and for a constant input."""
        return tuple(np.zeros(shape, np.float32) for shape in self._state_shapes(batch_size))

    def checked_tokens(self, tokens: Any, axes: str, state: EngineState) -> Ids:
        """Return the tokens as an array; raises `InputError` if they or the state do not fit.

        `axes` is "B" for a step's tokens, "TB" for a sequence's.
        """
        ids = np.asarray(tokens)
        if ids.ndim != len(axes) or ids.dtype.kind not in "iu":
            raise InputError(
                f"tokens are an array ({', '.join(axes)}) of whole numbers, not one of shape "
                f"{ids.shape} and type {ids.dtype}"
            )
        if ids.size and not 0 <= ids.min() <= ids.max() < self.vocab_size:
            wrong = ids.min() if ids.min() < 0 else ids.max()
            raise InputError(
                f"the vocabulary has tokens 0 to {self.vocab_size - 1}, and no {wrong}"
            )
        expected = self._state_shapes(ids.shape[-1])
        if not isinstance(state, tuple) or [np.shape(part) for part in state] != expected:
            found = [np.shape(part) for part in state] if isinstance(state, tuple) else shown(state)
            raise InputError(
                f"a state of these tokens has arrays of shapes {expected}, not {found}"
            )
        return ids

    def _state_shapes(self, batch_size: int) -> list[tuple[int, int, int]]:
        shapes = [(self.num_layers, batch_size, self.hidden_size)] * len(self.cell.states)
        if self.constant_size:
            shapes.append((1, batch_size, len(self.cell.gates) * self.hidden_size))
        return shapes


class StackWeights(NamedTuple):
    """A stack's arrays, named under its prefix in the model folder as `torch.nn` names them."""

    layers: tuple[LayerParameters, ...]
    """The first layer's `weight_ih` without the columns of the constant input."""
    embedding: Floats | None
    """(V, E); `None` for one-hot input."""
    constant_GZ: Floats | None
    """The first layer's weights (G*H, Z) of the constant input."""

    @classmethod
    def of(cls, config: StackConfig, weights: Mapping[str, Floats], prefix: str) -> StackWeights:
        """Select `{prefix}weight_ih_l0` (G*H, E + Z or V + Z) … and `embedding.weight`."""
        first, *others = (
            LayerParameters.of(weights, layer, prefix) for layer in range(config.num_layers)
        )
        constant_GZ = None
        if config.constant_size:
            constant_GZ = first.weight_ih[:, -config.constant_size :]
            first = first._replace(weight_ih=first.weight_ih[:, : -config.constant_size])
        return cls((first, *others), weights.get("embedding.weight"), constant_GZ)
