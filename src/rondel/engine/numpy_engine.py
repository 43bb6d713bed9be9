"""The generic engine: any registered cell, run over NumPy.

Shapes: T time, B batch, V vocabulary, E embedding, H hidden size, L layers, G*H gate rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rondel.cells import State, build_cell, numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.engine.base import EngineState, Floats, Ids
from rondel.settings import ModelConfig

# Above this many numbers, folding the embedding into the first layer's gates costs more memory
# than the matmul it saves is worth.
LARGEST_TABLE = 32_000_000


class NumpyEngine:
    """A language model as arrays: `step` for one token a stream, `sequence` for many.

    `weights` are named as in the model folder: `embedding.weight` (V, E) unless the input is
    one-hot, `core.weight_ih_l0` …, `head.weight` (V, H) unless tied, `head.bias` (V,).
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Floats]) -> None:
        self.config = config
        self.cell = build_cell(config)
        layers = [LayerParameters.of(weights, layer, "core.") for layer in range(config.num_layers)]
        self._embedding = weights.get("embedding.weight")
        self._table_VG = self._input_table(layers[0])
        # The table stands for the first layer's input weights, which may be large: leave those be.
        first = 0 if self._table_VG is None else 1
        self.layers = [
            layer._replace(
                weight_ih=_for_rows(layer.weight_ih) if number >= first else layer.weight_ih,
                weight_hh=_for_rows(layer.weight_hh),
            )
            for number, layer in enumerate(layers)
        ]
        head = weights["embedding.weight" if config.tie_weights else "head.weight"]
        self._head_HV = head.T
        self._head_bias = weights["head.bias"]

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """Zeros, as every training text starts from."""
        shape = (self.config.num_layers, batch_size, self.config.hidden_size)
        return tuple(np.zeros(shape, np.float32) for _ in self.cell.states)

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (B, V) after one token a stream, and the next state."""
        return self._step(self._first_gates(tokens_B), state)

    def _step(self, gates_BG: Floats, state: EngineState) -> tuple[Floats, EngineState]:
        next_state = tuple(map(np.empty_like, state))
        output_BH = state[0][0]
        for number, layer in enumerate(self.layers):
            if number > 0:
                gates_BG = output_BH @ layer.weight_ih.T + layer.bias_ih
            layer_state = self._recur(number, gates_BG, tuple(part[number] for part in state))
            for part_LBH, part_BH in zip(next_state, layer_state, strict=True):
                part_LBH[number] = part_BH
            output_BH = layer_state[0]
        return self._logits(output_BH), next_state

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (T, B, V) after each token of a sequence, and the last state."""
        outputs_TBH, state = self.outputs(tokens_TB, state)
        return self._logits(outputs_TBH), state

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """The state after a sequence, its logits left out (a long prime needs none of them)."""
        return self.outputs(tokens_TB, state)[1]

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The last layer's outputs (T, B, H) after each token, and the last state of all layers."""
        return self._outputs(self._first_gates(tokens_TB), state)

    def _outputs(self, gates_TBG: Floats, state: EngineState) -> tuple[Floats, EngineState]:
        # Layer by layer, so that all of a layer's input gates but the first's are one matmul.
        next_state = tuple(map(np.empty_like, state))
        outputs_TBH = np.empty((*gates_TBG.shape[:2], self.config.hidden_size), np.float32)
        for number, layer in enumerate(self.layers):
            if number > 0:
                gates_TBG = outputs_TBH @ layer.weight_ih.T + layer.bias_ih
            layer_state: State = tuple(part[number] for part in state)
            for t, gates_BG in enumerate(gates_TBG):
                layer_state = self._recur(number, gates_BG, layer_state)
                outputs_TBH[t] = layer_state[0]
            for part_LBH, part_BH in zip(next_state, layer_state, strict=True):
                part_LBH[number] = part_BH
        return outputs_TBH, next_state

    def _recur(self, number: int, gates_BG: Floats, layer_state: State) -> State:
        return self.cell.recur(numpy_namespace, self.layers[number], gates_BG, layer_state).state

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

    def _logits(self, outputs: Floats) -> Floats:
        logits: Floats = outputs @ self._head_HV
        logits += self._head_bias
        return logits


def _for_rows(weight: Floats) -> Floats:
    """The same, in the order of memory that makes `rows @ weight.T` fast for a few rows."""
    return np.asfortranarray(weight)
