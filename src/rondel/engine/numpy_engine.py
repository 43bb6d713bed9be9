"""Stacks of any registered cell, run by NumPy, and the engine made of one and a head.

Shapes: T time, B batch, V vocabulary, E embedding, H hidden size, L layers, G*H gate rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rondel.cells import State, numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.head import Head
from rondel.engine.stack import StackConfig, StackWeights
from rondel.settings import ModelConfig

# Above this many numbers, folding the embedding into the first layer's gates costs more memory
# than the matmul it saves is worth.
LARGEST_TABLE = 32_000_000


class NumpyStack:
    """Layers on one another, which read tokens; see `Stack`."""

    def __init__(self, config: StackConfig, weights: Mapping[str, Floats], prefix: str) -> None:
        self.config = config
        own = StackWeights.of(config, weights, prefix)
        self._states = len(config.cell.states)
        self._embedding = own.embedding
        self._table_VG = self._input_table(own.layers[0])
        # The table replaces the first layer's input weights, which may be large: keep those as is.
        first = 0 if self._table_VG is None else 1
        self.layers = [
            layer._replace(
                weight_ih=_for_rows(layer.weight_ih) if number >= first else layer.weight_ih,
                weight_hh=_for_rows(layer.weight_hh),
            )
            for number, layer in enumerate(own.layers)
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
        """Write each layer's outputs (T, B, H) into its array; layers may share one."""
        # Layer by layer, so that all of a layer's input gates but the first's are one matmul.
        own, constant = state[: self._states], state[self._states :]
        next_own = tuple(map(np.empty_like, own))
        gates_TBG = self._first_gates(tokens_TB)
        if constant:
            gates_TBG = gates_TBG + constant[0]
        for number, (layer, outputs_TBH) in enumerate(zip(self.layers, outputs_LTBH, strict=True)):
            if number > 0:
                gates_TBG = outputs_LTBH[number - 1] @ layer.weight_ih.T + layer.bias_ih
            layer_state: State = tuple(part[number] for part in own)
            for t, gates_BG in enumerate(gates_TBG):
                layer_state = self._recur(number, gates_BG, layer_state)
                outputs_TBH[t] = layer_state[0]
            for part_LBH, part_BH in zip(next_own, layer_state, strict=True):
                part_LBH[number] = part_BH
        return next_own + constant

    def _step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The last layer's outputs (B, H) after one token a stream, and the next state."""
        own, constant = state[: self._states], state[self._states :]
        next_own = tuple(map(np.empty_like, own))
        gates_BG = self._first_gates(tokens_B)
        if constant:
            gates_BG = gates_BG + constant[0][0]
        output_BH = own[0][0]
        for number, layer in enumerate(self.layers):
            if number > 0:
                gates_BG = output_BH @ layer.weight_ih.T + layer.bias_ih
            layer_state = self._recur(number, gates_BG, tuple(part[number] for part in own))
            for part_LBH, part_BH in zip(next_own, layer_state, strict=True):
                part_LBH[number] = part_BH
            output_BH = layer_state[0]
        return output_BH, next_own + constant

    def _recur(self, number: int, gates_BG: Floats, layer_state: State) -> State:
        cell, layer = self.config.cell, self.layers[number]
        return cell.recur(numpy_namespace, layer, gates_BG, layer_state).state

    def _input_table(self, layer: LayerParameters) -> Floats | None:
        """Layer one's input gates for every token (V, G*H), so that a step looks them up."""
        if self._embedding is None:
            return np.ascontiguousarray(layer.weight_ih.T + layer.bias_ih)
        if self.config.vocab_size * layer.weight_ih.shape[0] > LARGEST_TABLE:
            return None
        table: Floats = self._embedding @ layer.weight_ih.T + layer.bias_ih
        return table

    def _first_gates(self, tokens: Ids) -> Floats:
        """Layer one's input gates (..., G*H) of tokens (...)."""
        if self._table_VG is not None:
            return self._table_VG[tokens]
        assert self._embedding is not None
        layer = self.layers[0]
        gates: Floats = self._embedding[tokens] @ layer.weight_ih.T + layer.bias_ih
        return gates


class NumpyEngine(NumpyStack):
    """A language model of any registered cell: the stack `core`, and a head; see `Engine`.

    `weights` are named as in the model folder: `embedding.weight` (V, E) unless the input is
    one-hot, `core.weight_ih_l0` …, `head.weight` (V, H) unless tied, `head.bias` (V,)::

        engine = NumpyEngine(model.config, model.weights)
        logits_TBV, state = engine.sequence(tokens_TB, engine.initial_state(batch_size))
    """

    batch_invariant = False

    def __init__(self, config: ModelConfig | StackConfig, weights: Mapping[str, Floats]) -> None:
        super().__init__(StackConfig.of(config), weights, "core.")
        self.head = Head.of(weights)

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
        """See `Engine.streams`: it has none."""


def _for_rows(weight: Floats) -> Floats:
    """The same, in the order of memory that makes `rows @ weight.T` fast for a few rows."""
    return np.asfortranarray(weight)
