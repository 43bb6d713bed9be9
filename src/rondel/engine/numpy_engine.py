"""Stacks of any registered cell in NumPy, and the engine of such a stack and a head.

Shapes: T time, B batch, V vocabulary, E embedding, H hidden size, L layers, G*H gate rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rondel.cells import State, numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.head import AnyHead, Head, head_of
from rondel.engine.stack_config import StackConfig, StackWeights
from rondel.settings import ModelConfig

# The largest table of all tokens' input gates: beyond it, the matmul costs less than the memory.
LARGEST_TABLE = 32_000_000


class NumpyStack:
    """Stacked layers in NumPy; see `Stack`."""

    def __init__(self, config: StackConfig, weights: Mapping[str, Floats], prefix: str) -> None:
        self.config = config
        arrays = StackWeights.of(config, weights, prefix)
        self._states = len(config.cell.states)
        self._first_gates = _gates_by_token(arrays.layers[0], arrays.embedding)
        self.layers = [
            layer._replace(
                # The first layer's may be large, and is used by `_first_gates` only.
                weight_ih=_for_rows(layer.weight_ih) if number else layer.weight_ih,
                weight_hh=_for_rows(layer.weight_hh),
            )
            for number, layer in enumerate(arrays.layers)
        ]

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """See `Stack.initial_state`."""
        return self.config.initial_state(batch_size)

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """See `Stack.advance`."""
        return self.outputs(tokens_TB, state)[1]

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Stack.outputs`."""
        tokens_TB = self.config.checked_tokens(tokens_TB, "TB", state)
        outputs_TBH = np.empty((*tokens_TB.shape, self.config.hidden_size), np.float32)
        return outputs_TBH, self._read(tokens_TB, state, [outputs_TBH] * len(self.layers))

    def layer_outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Stack.layer_outputs`."""
        tokens_TB = self.config.checked_tokens(tokens_TB, "TB", state)
        shape = len(self.layers), *tokens_TB.shape, self.config.hidden_size
        outputs_LTBH = np.empty(shape, np.float32)
        return outputs_LTBH, self._read(tokens_TB, state, list(outputs_LTBH))

    def _read(
        self, tokens_TB: Ids, state: EngineState, outputs_LTBH: Sequence[Floats]
    ) -> EngineState:
        """Return the last state; write layers' outputs (T, B, H) into arrays, which may be one."""
        # Layer by layer, so that all input gates of a layer above the first are one matmul.
        states, constant = state[: self._states], state[self._states :]
        next_states = tuple(map(np.empty_like, states))
        gates_TBG = self._first_gates(tokens_TB)
        if constant:
            gates_TBG = gates_TBG + constant[0]
        for number, (layer, outputs_TBH) in enumerate(zip(self.layers, outputs_LTBH, strict=True)):
            if number > 0:
                gates_TBG = outputs_LTBH[number - 1] @ layer.weight_ih.T + layer.bias_ih
            layer_state: State = tuple(part[number] for part in states)
            for t, gates_BG in enumerate(gates_TBG):
                layer_state = self._recur(number, gates_BG, layer_state)
                outputs_TBH[t] = layer_state[0]
            for part_LBH, part_BH in zip(next_states, layer_state, strict=True):
                part_LBH[number] = part_BH
        return next_states + constant

    def _step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Return the last layer's outputs (B, H) after one token a stream, and the next state."""
        states, constant = state[: self._states], state[self._states :]
        next_states = tuple(map(np.empty_like, states))
        gates_BG = self._first_gates(tokens_B)
        if constant:
            gates_BG = gates_BG + constant[0][0]
        output_BH = states[0][0]
        for number, layer in enumerate(self.layers):
            if number > 0:
                gates_BG = output_BH @ layer.weight_ih.T + layer.bias_ih
            layer_state = self._recur(number, gates_BG, tuple(part[number] for part in states))
            for part_LBH, part_BH in zip(next_states, layer_state, strict=True):
                part_LBH[number] = part_BH
            output_BH = layer_state[0]
        return output_BH, next_states + constant

    def _recur(self, number: int, gates_BG: Floats, layer_state: State) -> State:
        cell, layer = self.config.cell, self.layers[number]
        return cell.recur(numpy_namespace, layer, gates_BG, layer_state).state


class NumpyEngine(NumpyStack):
    """A language model of any registered cell: the stack `core` and a head; see `Engine`.

    `weights` are named as in the model folder: `embedding.weight` (V, E) unless the input is
    one-hot, `core.weight_ih_l0` …, `head.weight` (V, H) unless tied, `head.bias` (V,)::

        engine = NumpyEngine(model.config, model.weights)
        logits_TBV, state = engine.sequence(tokens_TB, engine.initial_state(batch_size))
    """

    batch_invariant = False

    def __init__(self, config: ModelConfig | StackConfig, weights: Mapping[str, Floats]) -> None:
        super().__init__(StackConfig.of(config), weights, "core.")
        self.head: AnyHead = (
            Head.of(weights) if isinstance(config, StackConfig) else head_of(weights, config)
        )

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Engine.step`."""
        tokens_B = self.config.checked_tokens(tokens_B, "B", state)
        output_BH, state = self._step(tokens_B, state)
        return self.head(output_BH), state

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Engine.sequence`."""
        outputs_TBH, state = self.outputs(tokens_TB, state)
        return self.head(outputs_TBH), state

    def streams(self, capacity: int, forbidden: int | None) -> None:
        """Return None: it has no streams. See `Engine.streams`."""


def _gates_by_token(layer: LayerParameters, embedding: Floats | None) -> Callable[[Ids], Floats]:
    """Return a function from tokens (...) to the first layer's input gates (..., G*H).

    It looks them up in a table of all tokens, unless that would be too large.
    """
    if embedding is None:
        return np.ascontiguousarray(layer.weight_ih.T + layer.bias_ih).__getitem__
    if len(embedding) * len(layer.weight_ih) <= LARGEST_TABLE:
        table_VG: Floats = embedding @ layer.weight_ih.T + layer.bias_ih
        return table_VG.__getitem__
    weight_ih = _for_rows(layer.weight_ih)
    return lambda tokens: embedding[tokens] @ weight_ih.T + layer.bias_ih


def _for_rows(weight: Floats) -> Floats:
    """Return the weight in the memory order that makes `rows @ weight.T` fast for a few rows."""
    return np.asfortranarray(weight)
