"""Trace every state and gate of one stack of layers over a text.

Shapes: N tokens, L layers, H units in a layer, G gate rows, T tokens of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.cells import Cell, numpy_namespace
from rondel.cells.base import State
from rondel.engine import build_stack
from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.stack_config import StackConfig, StackWeights

Weights = Mapping[str, npt.NDArray[Any]]

STATES = {"h": "hidden", "c": "cell"}
"""Track names of a cell's states."""

BLOCK = 512


def tracks_of(cell: Cell) -> list[str]:
    """The track names of a stack with this cell: its states, then its gates."""
    names = [STATES.get(state, state) for state in cell.states]
    return names + [gate for gate in cell.gates if gate not in names]


class StackTracer:
    """Reads a text with one stack and records its units' values.

    The engine's stack gives the hidden states. From these, all gates of a block are two matmuls;
    only the cell's pointwise arithmetic runs step by step, for cells with further states.
    """

    def __init__(self, config: StackConfig, weights: Weights, prefix: str, tokens: int) -> None:
        self.config, self.cell = config, config.cell
        self.stack = build_stack(config, weights, prefix, tokens=tokens)
        self.layers, self.embedding, _ = StackWeights.of(config, weights, prefix)

    def blocks(
        self, ids: Ids, tracks: Mapping[str, Floats], state: EngineState | None = None
    ) -> Iterator[Floats]:
        """Fill the tracks (N, L, H); yield the last layer's outputs (T, H), block by block.

        `state` is the state before the first token; default: zeros.
        """
        state = state or self.stack.initial_state()
        cell_state, constant = state[: len(self.cell.states)], state[len(self.cell.states) :]
        layer_states: list[State] = [
            tuple(part[number] for part in cell_state) for number in range(len(self.layers))
        ]
        for begin in range(0, len(ids), BLOCK):
            block = slice(begin, begin + BLOCK)
            outputs_LT1H, state = self.stack.layer_outputs(ids[block, None], state)
            outputs_LTH = outputs_LT1H[:, :, 0]
            for number, hidden_TH in enumerate(outputs_LTH):
                if "hidden" in tracks:
                    tracks["hidden"][block, number] = hidden_TH
                if len(tracks) > ("hidden" in tracks):
                    below_TH = outputs_LTH[number - 1] if number else None
                    input_TG = self._input_gates(number, ids[block], below_TH)
                    if number == 0 and constant:
                        input_TG = input_TG + constant[0][0]
                    layer_states[number] = self._fill_tracks(
                        number, input_TG, hidden_TH, layer_states[number], tracks, block
                    )
            yield outputs_LTH[-1]

    def _input_gates(self, number: int, ids: Ids, below_TH: Floats | None) -> Floats:
        layer = self.layers[number]
        if below_TH is not None:
            gates: Floats = below_TH @ layer.weight_ih.T + layer.bias_ih
        elif self.embedding is not None:
            gates = self.embedding[ids] @ layer.weight_ih.T + layer.bias_ih
        else:
            gates = layer.weight_ih.T[ids] + layer.bias_ih
        return gates

    def _fill_tracks(
        self,
        number: int,
        input_TG: Floats,
        hidden_TH: Floats,
        state: State,
        tracks: Mapping[str, Floats],
        block: slice,
    ) -> State:
        """Fill one layer's tracks other than "hidden"; returns the state after the block."""
        layer, cell = self.layers[number], self.cell
        previous_TH = np.concatenate([state[0], hidden_TH[:-1]])
        hidden_gates_TG = previous_TH @ layer.weight_hh.T + layer.bias_hh
        if len(cell.states) == 1:
            step = cell.pointwise(numpy_namespace, input_TG, hidden_gates_TG, (previous_TH,))
            rows: list[Any] = [hidden_TH, *step.gates]
            state = (hidden_TH[-1:],)
        else:
            steps = []
            for t in range(len(input_TG)):
                at = slice(t, t + 1)
                step = cell.pointwise(numpy_namespace, input_TG[at], hidden_gates_TG[at], state)
                state = (hidden_TH[at], *step.state[1:])
                steps.append((*state, *step.gates))
            rows = [np.concatenate(row) for row in zip(*steps, strict=True)]
        names = [STATES.get(name, name) for name in cell.states] + list(cell.gates)
        for name, row in zip(names, rows, strict=True):
            if name in tracks and name != "hidden":
                tracks[name][block, number] = row
        return state
