"""What every unit of a model does over a text.

Shapes: N tokens, L layers, H units in a layer, V vocabulary, G*H gate rows, T tokens of a block.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.cells import Cell, build_cell, numpy_namespace
from rondel.cells.base import LayerParameters, State
from rondel.config import ModelConfig
from rondel.engine import build_engine
from rondel.engine.base import EngineState, Floats, Ids
from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans

Weights = Mapping[str, npt.NDArray[Any]]
Watch = Callable[[float], None]

STATES = {"h": "hidden", "c": "cell"}
"""What the tracks of a cell's states are called."""

BACKWARD = "backward."
"""What the tracks of a bidirectional model's second stack begin with."""

GUESSES = 5
BLOCK = 512
MEMORY = 512_000_000
"""Bytes of tracks that are kept in memory; more are kept in files until the trace is closed."""

LARGEST_PASS = 4_000_000
"""Logits worked out at a time: as many as take 16 MB."""


@dataclass(frozen=True)
class Unit:
    """One unit: a track, a layer and a place in it, both counted from 0, as in the arrays.

    People count both from 1: `str` of the hidden state of layer 1, place 136 of an array is
    "2:137", and of another track "cell:2:137".
    """

    track: str
    layer: int
    index: int

    def __str__(self) -> str:
        name = f"{self.layer + 1}:{self.index + 1}"
        return name if self.track == "hidden" else f"{self.track}:{name}"


@dataclass(frozen=True, eq=False)
class Trace:
    """A text as a model read it.

    `ids` (N,) are its tokens, `spans` (N, 2) where they stand in the text, in characters, and
    `tokens` their texts, which joined are the text: white space that a token implies goes with the
    token before it, and a character of several bytes with the last of them.

    `tracks` holds an array (N, L, H) of float32 for each state ("hidden", "cell") and each gate, as
    the cell names it, after the token was read; those of the stack that reads against the text
    begin with "backward." and have read the token and all after it. `guesses_ids` (N, 5) are the
    likeliest next tokens, likeliest first, and `guesses_probability` (N, 5) how likely.

    Large tracks are memory maps of a temporary folder, which goes with `close` or with the trace.
    """

    text: str
    ids: Ids
    spans: Spans
    tokens: list[str]
    tracks: dict[str, Floats]
    guesses_ids: Ids
    guesses_probability: Floats
    tokenizer: Tokenizer
    remove: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        return len(self.ids)

    def top_tokens(self, n: int) -> list[tuple[str, float]]:
        """The likeliest tokens to follow the n-th, as the vocabulary spells them, and how so."""
        guesses = zip(self.guesses_ids[n], self.guesses_probability[n], strict=True)
        return [(self.tokenizer.token(int(i)), float(p)) for i, p in guesses]

    def values(self, unit: Unit) -> Floats:
        """One unit's values (N,)."""
        values: Floats = self.tracks[unit.track][:, unit.layer, unit.index]
        return values

    def unit(self, name: str) -> Unit:
        """The unit that a person calls "2:137" or "cell:2:137"; `InputError` if there is none."""
        return find_unit(name, {track: array.shape[1:] for track, array in self.tracks.items()})

    def close(self) -> None:
        """Remove what is kept in files; the tracks are not to be used any more."""
        self.remove()

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_unit(name: str, shapes: Mapping[str, Sequence[int]]) -> Unit:
    """A unit by name, out of tracks of shapes (L, H); `InputError` says what there is."""
    *track, layer, index = name.rsplit(":", 2) if ":" in name else ("", "")
    chosen = track[0] if track else "hidden"
    if chosen not in shapes:
        raise InputError(
            f"unit {name}: no track is called {chosen!r}; there are: {', '.join(shapes)}"
        )
    layers, size = shapes[chosen]
    if not (layer.isdecimal() and index.isdecimal()):
        raise InputError(f"unit {name!r} is no LAYER:UNIT, such as 1:{size}")
    if not (1 <= int(layer) <= layers and 1 <= int(index) <= size):
        have = "layer" if layers == 1 else "layers"
        raise InputError(
            f"there is no unit {name}: this model has {layers} {have} of {size} units, and both "
            "are counted from 1"
        )
    return Unit(chosen, int(layer) - 1, int(index) - 1)


def track_names(config: ModelConfig) -> list[str]:
    """The tracks that a model has: its cell's states, then its gates, of each stack."""
    cell = build_cell(config)
    names = [STATES.get(state, state) for state in cell.states]
    names += [gate for gate in cell.gates if gate not in names]
    stacks = ["", BACKWARD] if config.is_bidirectional else [""]
    return [stack + name for stack in stacks for name in names]


def trace(
    config: ModelConfig,
    weights: Weights,
    tokenizer: Tokenizer,
    text: str,
    *,
    tracks: Sequence[str] | None = None,
    memory: int = MEMORY,
    watch: Watch = lambda fraction: None,
) -> Trace:
    """Read a text from the zero state, and keep what every unit does.

    `tracks` names those to keep, or all; what takes more than `memory` bytes is kept in files.
    Raises `InputError` for a text that is empty or of nothing that the model knows, and for a track
    that it has not.
    """
    ids = _known_ids(tokenizer, text)
    chosen = _chosen(tracks, track_names(config))
    arrays, remove = _room(chosen, (len(ids), config.num_layers, config.hidden_size), memory)
    guesses = min(GUESSES, config.vocab_size)
    guesses_ids = np.empty((len(ids), guesses), np.int64)
    guesses_probability = np.empty((len(ids), guesses), np.float32)
    reading, begin = _Reading(config, weights, "core.", len(ids)), 0
    against = {name.removeprefix(BACKWARD): a for name, a in arrays.items() if BACKWARD in name}
    share = 0.5 if against else 1.0
    own = {name: array for name, array in arrays.items() if BACKWARD not in name}
    for outputs_TH in reading.blocks(ids, own):
        block = slice(begin, begin := begin + len(outputs_TH))
        guesses_ids[block], guesses_probability[block] = _guesses(config, weights, outputs_TH)
        watch(share * begin / len(ids))
    if against:
        reading, begin = _Reading(config, weights, BACKWARD, len(ids)), 0
        # What reads against the text writes its tracks from their ends.
        turned = {name: array[::-1] for name, array in against.items()}
        for outputs_TH in reading.blocks(ids[::-1], turned):
            begin += len(outputs_TH)
            watch(share + share * begin / len(ids))
    spans = tokenizer.spans(text)
    texts = _texts(text, spans)
    found = Trace(
        text, ids, spans, texts, arrays, guesses_ids, guesses_probability, tokenizer, remove
    )
    weakref.finalize(found, remove)
    return found


class _Reading:
    """One stack of a model that reads a text, layer by layer.

    The hidden states are the engine's: of layer l, the outputs of the model's first l layers. When
    they are known, all gates of a block are two matmuls, and what is left to do step by step is the
    cell's pointwise arithmetic, for the states that are not outputs.
    """

    def __init__(self, config: ModelConfig, weights: Weights, stack: str, tokens: int) -> None:
        self.cell: Cell = build_cell(config)
        own = {
            name.replace(stack, "core.", 1): array
            for name, array in weights.items()
            if name.startswith(stack)
        }
        weights = {**weights, **own}
        counts = range(1, config.num_layers + 1)
        self.engines = [
            build_engine(dataclasses.replace(config, num_layers=count), weights, tokens=tokens)
            for count in counts
        ]
        self.layers = [LayerParameters.of(weights, layer, "core.") for layer in range(len(counts))]
        self.embedding: Floats | None = weights.get("embedding.weight")
        self.size = config.hidden_size

    def blocks(self, ids: Ids, tracks: Mapping[str, Floats]) -> Iterator[Floats]:
        """Fill the tracks (N, L, H); yields the last layer's outputs (T, H), block by block."""
        engine_states: list[EngineState] = [engine.initial_state() for engine in self.engines]
        states: list[State] = [
            tuple(np.zeros((1, self.size), np.float32) for _ in self.cell.states)
        ]
        states = states * len(self.layers)
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


def _known_ids(tokenizer: Tokenizer, text: str) -> Ids:
    ids = tokenizer.encode(text)
    if not len(ids):
        raise InputError("the text is empty: give it something to read")
    if tokenizer.unknown_id is not None and (ids == tokenizer.unknown_id).all():
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of this text, such as "
            f"{tokenizer.unknowns(text, 1)[0]!r}: give it a text like the one it was trained on"
        )
    return ids


def _chosen(tracks: Sequence[str] | None, names: list[str]) -> list[str]:
    for name in tracks or ():
        if name not in names:
            raise InputError(f"no track is called {name!r}; there are: {', '.join(names)}")
    return names if tracks is None else [name for name in names if name in tracks]


def _room(
    names: list[str], shape: tuple[int, ...], memory: int
) -> tuple[dict[str, Floats], Callable[[], object]]:
    """An array for every track, in files if they are large, and what removes them."""
    if 4 * len(names) * int(np.prod(shape)) <= memory:
        return {name: np.empty(shape, np.float32) for name in names}, lambda: None
    folder = Path(tempfile.mkdtemp(prefix="rondel-trace-"))
    arrays: dict[str, Floats] = {
        name: np.memmap(folder / f"{name}.f32", np.float32, "w+", shape=shape) for name in names
    }
    return arrays, lambda: shutil.rmtree(folder, ignore_errors=True)


def _guesses(config: ModelConfig, weights: Weights, outputs_TH: Floats) -> tuple[Ids, Floats]:
    """The likeliest next tokens (T, 5) after outputs, and how likely."""
    head_HV = weights["embedding.weight" if config.tie_weights else "head.weight"].T
    step = max(1, LARGEST_PASS // config.vocab_size)
    ids, probabilities = [], []
    for begin in range(0, len(outputs_TH), step):
        logits_TV = outputs_TH[begin : begin + step] @ head_HV + weights["head.bias"]
        logits_TV -= logits_TV.max(axis=1, keepdims=True)
        probability_TV = np.exp(logits_TV)
        probability_TV /= probability_TV.sum(axis=1, keepdims=True)
        best = np.argsort(-probability_TV, axis=1, kind="stable")[:, :GUESSES]
        ids.append(best)
        probabilities.append(np.take_along_axis(probability_TV, best, axis=1))
    return np.concatenate(ids), np.concatenate(probabilities)


def _texts(text: str, spans: Spans) -> list[str]:
    begins = [0, *spans[1:, 0].tolist(), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(begins)]
