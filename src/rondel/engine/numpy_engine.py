"""The generic engine: any registered cell, run over NumPy.

Shapes: T time, B batch, V vocabulary, E embedding, H hidden size, L layers, G*H gate rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.cells import State, build_cell, numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.config import ModelConfig

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]
EngineState = tuple[Floats, ...]
"""One array (L, B, H) for each of the cell's state names, in their order."""

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
        self.layers = [
            LayerParameters.of(weights, layer, "core.") for layer in range(config.num_layers)
        ]
        self._embedding = weights.get("embedding.weight")
        head = weights["embedding.weight" if config.tie_weights else "head.weight"]
        self._head_HV = np.asfortranarray(head.T)
        self._head_bias = weights["head.bias"]
        self._table_VG = self._input_table()

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """Zeros, as every training text starts from."""
        shape = (self.config.num_layers, batch_size, self.config.hidden_size)
        return tuple(np.zeros(shape, np.float32) for _ in self.cell.states)

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (B, V) after one token a stream, and the next state."""
        outputs_TBH, state = self._run(tokens_B[None], state)
        return self._logits(outputs_TBH[0]), state

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (T, B, V) after each token of a sequence, and the last state."""
        outputs_TBH, state = self._run(tokens_TB, state)
        return self._logits(outputs_TBH), state

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """The state after a sequence, its logits left out (a long prime needs none of them)."""
        return self._run(tokens_TB, state)[1]

    def _run(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        layer_states: list[State] = []
        x_TBH = np.empty(0, np.float32)
        for number, layer in enumerate(self.layers):
            if number == 0:
                gates_TBG = self._first_gates(tokens_TB)
            else:
                gates_TBG = x_TBH @ layer.weight_ih.T + layer.bias_ih
            x_TBH = np.empty((*tokens_TB.shape, self.config.hidden_size), np.float32)
            layer_state: State = tuple(part_LBH[number] for part_LBH in state)
            for t, gates_BG in enumerate(gates_TBG):
                layer_state, _ = self.cell.recur(numpy_namespace, layer, gates_BG, layer_state)
                x_TBH[t] = layer_state[0]
            layer_states.append(layer_state)
        return x_TBH, tuple(np.stack(parts) for parts in zip(*layer_states, strict=True))

    def _input_table(self) -> Floats | None:
        """Layer one's input gates for every token (V, G*H), so that a step looks them up."""
        layer = self.layers[0]
        if self._embedding is None:
            return np.ascontiguousarray(layer.weight_ih.T + layer.bias_ih)
        if self.config.vocab_size * layer.weight_ih.shape[0] > LARGEST_TABLE:
            return None
        table: Floats = self._embedding @ layer.weight_ih.T + layer.bias_ih
        return table

    def _first_gates(self, tokens_TB: Ids) -> Floats:
        if self._table_VG is not None:
            gates: Floats = self._table_VG[tokens_TB]
            return gates
        assert self._embedding is not None
        layer = self.layers[0]
        gates = self._embedding[tokens_TB] @ layer.weight_ih.T + layer.bias_ih
        return gates

    def _logits(self, outputs: Floats) -> Floats:
        logits: Floats = outputs @ self._head_HV + self._head_bias
        return logits
