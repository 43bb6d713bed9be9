"""One stack of layers over a text: every state and gate of it.

Shapes: N tokens, L layers, H units in a layer, G*H gate rows, T tokens of a block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.cells import Cell, build_cell, numpy_namespace
from rondel.cells.base import LayerParameters, State
from rondel.engine import Engine, build_engine
from rondel.engine.base import EngineState, Floats, Ids
from rondel.settings import ModelConfig

Weights = Mapping[str, npt.NDArray[Any]]

STATES = {"h": "hidden", "c": "cell"}
"""What the tracks of a cell's states are called."""

BLOCK = 512


def tracks_of(config: ModelConfig) -> list[str]:
    """The tracks that one stack has: its cell's states, then its gates."""
    cell = build_cell(config)
    names = [STATES.get(state, state) for state in cell.states]
    return names + [gate for gate in cell.gates if gate not in names]


class Stack:
    """One stack of a model that reads a text, layer by layer.

    The hidden states are the engine's: of layer l, the outputs of the model's first l layers. When
    they are known, all gates of a block are two matmuls, and what is left to do step by step is the
    cell's pointwise arithmetic, for the states that are not outputs.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        stack: str,
        tokens: int,
        engines: Sequence[Engine] = (),
    ) -> None:
        self.cell: Cell = build_cell(config)
        own = {
            name.replace(stack, "core.", 1): array
            for name, array in weights.items()
            if name.startswith(stack)
        }
        weights = {**weights, **own}
        counts = range(1, config.num_layers + 1)
        self.engines = list(engines) or [
            build_engine(dataclasses.replace(config, num_layers=count), weights, tokens=tokens)
            for count in counts
        ]
        self.layers = [LayerParameters.of(weights, layer, "core.") for layer in range(len(counts))]
        self.embedding: Floats | None = weights.get("embedding.weight")

    def blocks(
        self, ids: Ids, tracks: Mapping[str, Floats], start: EngineState | None = None
    ) -> Iterator[Floats]:
        """Fill the tracks (N, L, H); yields the last layer's outputs (T, H), block by block.

        `start` is the state before the first token, or zeros. What it has more than the cell's
        states is added to the first layer's gates at each step: (1, 1, G*H).
        """
        start = start or self.engines[-1].initial_state()
        own, more = start[: len(self.cell.states)], start[len(self.cell.states) :]
        engine_states: list[EngineState] = [
            (*(part[: number + 1] for part in own), *more) for number in range(len(self.layers))
        ]
        states: list[State] = [
            tuple(part[number] for part in own) for number in range(len(self.layers))
        ]
        for begin in range(0, len(ids), BLOCK):
            block = slice(begin, begin + BLOCK)
            below_TH: Floats | None = None
            for number, engine in enumerate(self.engines):
                outputs_T1H, engine_states[number] = engine.outputs(
                    ids[block, None], engine_states[number]
                )
                hidden_TH = outputs_T1H[:, 0]
                if "hidden" in tracks:
                    tracks["hidden"][block, number] = hidden_TH
                if len(tracks) > ("hidden" in tracks):
                    input_TG = self._input_gates(number, ids[block], below_TH)
                    if number == 0 and more:
                        input_TG = input_TG + more[0][0]
                    states[number] = self._rest(
                        number, input_TG, hidden_TH, states[number], tracks, block
                    )
                below_TH = hidden_TH
            assert below_TH is not None
            yield below_TH

    def _input_gates(self, number: int, ids: Ids, below_TH: Floats | None) -> Floats:
        layer = self.layers[number]
        if below_TH is not None:
            gates: Floats = below_TH @ layer.weight_ih.T + layer.bias_ih
        elif self.embedding is not None:
            gates = self.embedding[ids] @ layer.weight_ih.T + layer.bias_ih
        else:
            gates = layer.weight_ih.T[ids] + layer.bias_ih
        return gates

    def _rest(
        self,
        number: int,
        input_TG: Floats,
        hidden_TH: Floats,
        state: State,
        tracks: Mapping[str, Floats],
        block: slice,
    ) -> State:
        """Fill the tracks of one layer's gates and other states; the state after the block."""
        layer, cell = self.layers[number], self.cell
        before_TH = np.concatenate([state[0], hidden_TH[:-1]])
        hidden_gates_TG = before_TH @ layer.weight_hh.T + layer.bias_hh
        if len(cell.states) == 1:
            done = cell.pointwise(numpy_namespace, input_TG, hidden_gates_TG, (before_TH,))
            rows: list[Any] = [hidden_TH, *done.gates]
            state = (hidden_TH[-1:],)
        else:
            steps = []
            for t in range(len(input_TG)):
                at = slice(t, t + 1)
                done = cell.pointwise(numpy_namespace, input_TG[at], hidden_gates_TG[at], state)
                state = (hidden_TH[at], *done.state[1:])
                steps.append((*state, *done.gates))
            rows = [np.concatenate(row) for row in zip(*steps, strict=True)]
        names = [STATES.get(name, name) for name in cell.states] + list(cell.gates)
        for name, row in zip(names, rows, strict=True):
            if name in tracks and name != "hidden":
                tracks[name][block, number] = row
        return state
