"""Trace the values of all units of a model over a text.

Shapes: N tokens, L layers, H units in a layer, V vocabulary, T tokens of a block.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from rondel.checked import checked
from rondel.engine.base import Floats, Ids
from rondel.engine.head import AnyHead, head_of
from rondel.engine.probability import softmax
from rondel.errors import InputError
from rondel.inspection.stack_tracks import Weights, tracks_of
from rondel.inspection.text_reader import OneWayReader
from rondel.kinds import kind_of
from rondel.settings import ModelConfig
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans, texts_of

Watch = Callable[[float], None]

GUESSES = 5
MEMORY = 512_000_000
"""Bytes of tracks to keep in memory; larger traces are kept in files until closed."""

LONGEST_NAME = 40
"""Most characters of a unit's name to show, and most digits of a number in it."""

LARGEST_PASS = 4_000_000
"""Largest number of logits computed at once (16 MB)."""


@dataclass(frozen=True)
class Unit:
    """One unit: a track, a layer and an index in it, both counted from 0, as in the arrays.

    Its name (`str`) counts both from 1, and leaves out the track "hidden":

    >>> str(Unit("hidden", 1, 136)), str(Unit("cell", 1, 136))
    ('2:137', 'cell:2:137')
    """

    track: str
    layer: int
    index: int

    def __str__(self) -> str:
        name = f"{self.layer + 1}:{self.index + 1}"
        return name if self.track == "hidden" else f"{self.track}:{name}"


@dataclass(frozen=True, eq=False)
class Trace:
    """The values of a model's units at each token of a text, and its predictions.

    `ids` (N,) are the token ids, `spans` (N, 2) their begin and end in the text, in characters, and
    `tokens` their texts, which concatenate to the text: white space that a token implies belongs to
    the token before it, and a character of several bytes to its last byte.

    `tracks` has a float32 array (N, L, H) for each state ("hidden", "cell") and each gate of the
    cell, after reading the token. Tracks of a bidirectional model's reverse stack begin with
    "backward." and have read the token and all after it; those of a sentence VAE's encoder begin
    with "encoder.". `guesses_ids` (N, 5) are the likeliest next tokens, likeliest first, and
    `guesses_probability` (N, 5) their probabilities.

    Large tracks are memory maps in a temporary folder, removed by `close` or with the trace.

    ::

        with model.trace("The rain in Spain.") as trace:
            trace.values(trace.unit("1:3"))   # (N,): the third unit of the first layer
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
        """The likeliest tokens after the n-th, as spelled in the vocabulary, with probabilities."""
        guesses = zip(self.guesses_ids[n], self.guesses_probability[n], strict=True)
        return [(self.tokenizer.token(int(i)), float(p)) for i, p in guesses]

    def values(self, unit: Unit) -> Floats:
        """One unit's values (N,)."""
        values: Floats = self.tracks[unit.track][:, unit.layer, unit.index]
        return values

    def unit(self, name: str) -> Unit:
        """The unit named "2:137" or "cell:2:137"; raises `InputError` if there is none."""
        return unit_by_name(name, {track: array.shape[1:] for track, array in self.tracks.items()})

    def close(self) -> None:
        """Remove temporary files; the tracks must not be used afterwards."""
        self.remove()

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def unit_by_name(name: str, shapes: Mapping[str, Sequence[int]]) -> Unit:
    """The unit with a name, in tracks of shapes (L, H); raises `InputError` if there is none."""
    *track, layer, index = name.rsplit(":", 2) if ":" in name else ("", "")
    chosen = track[0] if track else "hidden"
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    if chosen not in shapes:
        raise InputError(
            f"unit {shown}: no track is called {chosen[:LONGEST_NAME]!r}; there are: "
            f"{', '.join(shapes)}"
        )
    layers, size = shapes[chosen]
    # int() refuses numbers of thousands of digits.
    if not all(n.isdecimal() and len(n) <= LONGEST_NAME for n in (layer, index)):
        raise InputError(f"unit {shown!r} must be LAYER:UNIT, such as 1:{size}")
    if not (1 <= int(layer) <= layers and 1 <= int(index) <= size):
        have = "layer" if layers == 1 else "layers"
        raise InputError(
            f"there is no unit {shown}: this model has {layers} {have} of {size} units, and both "
            "are counted from 1"
        )
    return Unit(chosen, int(layer) - 1, int(index) - 1)


def reader_of(config: ModelConfig) -> OneWayReader:
    """The text reader of the model's kind."""
    reader: OneWayReader = kind_of(config).text_reader(config)
    return reader


def track_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """The tracks of all of a model's stacks, with their shapes (L, H)."""
    stacks = reader_of(config).stacks()
    return {
        prefix + name: (stack.num_layers, stack.hidden_size)
        for prefix, stack in stacks.items()
        for name in tracks_of(stack.cell)
    }


def track_names(config: ModelConfig) -> list[str]:
    """The names of a model's tracks."""
    return list(track_shapes(config))


class TraceKeywords(TypedDict, total=False):
    """What `Model.trace` takes beside the text, for type checkers."""

    tracks: Sequence[str] | None
    memory: int
    watch: Watch


@checked
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
    """Read a text from the zero state and record the values of all units.

    `tracks` names the tracks to keep, default: all. If they take more than `memory` bytes, they are
    kept in files. Raises `InputError` for a text that is empty or without a known token, and for an
    unknown track.
    """
    reader = reader_of(config)
    ids, spans = reader.read(tokenizer, text)
    shapes = track_shapes(config)
    chosen = {name: shapes[name] for name in _choose_tracks(tracks, list(shapes))}
    arrays, remove = _allocate(chosen, len(ids), memory)
    guesses = min(GUESSES, config.vocab_size)
    guesses_ids = np.empty((len(ids), guesses), np.int64)
    guesses_probability = np.empty((len(ids), guesses), np.float32)
    head, begin = head_of(weights, config), 0
    for outputs_TH in reader.outputs(weights, tokenizer, ids, arrays):
        block = slice(begin, begin := begin + len(outputs_TH))
        guesses_ids[block], guesses_probability[block] = _guesses(head, outputs_TH)
        watch(begin / len(ids))
    texts = texts_of(text, spans)
    found = Trace(
        text, ids, spans, texts, arrays, guesses_ids, guesses_probability, tokenizer, remove
    )
    weakref.finalize(found, remove)
    return found


def spans_of(config: ModelConfig, tokenizer: Tokenizer, text: str) -> Spans:
    """Begin and end (N, 2) of a text's tokens as the model reads them, in characters."""
    return reader_of(config).read(tokenizer, text)[1]


def _choose_tracks(tracks: Sequence[str] | None, names: list[str]) -> list[str]:
    for name in tracks or ():
        if name not in names:
            raise InputError(
                f"no track is called {name[:LONGEST_NAME]!r}; there are: {', '.join(names)}"
            )
    return names if tracks is None else [name for name in names if name in tracks]


def _allocate(
    shapes: Mapping[str, tuple[int, int]], count: int, memory: int
) -> tuple[dict[str, Floats], Callable[[], object]]:
    """An array for every track, in files if large, and a function that removes the files."""
    sizes = {name: (count, *shape) for name, shape in shapes.items()}
    if 4 * sum(int(np.prod(shape)) for shape in sizes.values()) <= memory:
        return {name: np.empty(shape, np.float32) for name, shape in sizes.items()}, lambda: None
    folder = Path(tempfile.mkdtemp(prefix="rondel-trace-"))
    arrays: dict[str, Floats] = {
        name: np.memmap(folder / f"{name}.f32", np.float32, "w+", shape=shape)
        for name, shape in sizes.items()
    }
    return arrays, lambda: shutil.rmtree(folder, ignore_errors=True)


def _guesses(head: AnyHead, outputs_TH: Floats) -> tuple[Ids, Floats]:
    """The likeliest next tokens (T, 5) after each output, and their probabilities (T, 5)."""
    step = max(1, LARGEST_PASS // head.vocab_size)
    ids, probabilities = [], []
    for begin in range(0, len(outputs_TH), step):
        probability_TV = softmax(head(outputs_TH[begin : begin + step]))
        best = np.argsort(-probability_TV, axis=1, kind="stable")[:, :GUESSES]
        ids.append(best)
        probabilities.append(np.take_along_axis(probability_TV, best, axis=1))
    return np.concatenate(ids), np.concatenate(probabilities)
