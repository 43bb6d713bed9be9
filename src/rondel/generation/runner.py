"""Streams that a compiled engine steps all together, and draws for itself where it can."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rondel.engine.base import EngineState, Streams, TokenBy
from rondel.generation.prompt import Start
from rondel.generation.stream import Piece, Stream
from rondel.text.tokenizers import Tokenizer

MOST_TOKENS, SECONDS = 256, 0.01
"""What a stream writes in one step at the most, and how long that should take."""

BY_MODE = {
    "sample": TokenBy.DRAW,
    "argmax": TokenBy.LIKELIEST,
    "spaces": TokenBy.DRAW_IF_WORD_BEGINS,
}


class Lockstep:
    """Streams in places of an engine; rules other than the temperature are applied here."""

    def __init__(self, places: Streams, tokenizer: Tokenizer) -> None:
        self._places = places
        self._tokenizer = tokenizer
        self._streams: list[tuple[int, Stream, TokenBy]] = []
        self._begins_word: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._tokens = 1

    def __len__(self) -> int:
        return len(self._streams)

    def join(self, handle: int, stream: Stream, start: Start) -> Piece:
        """Let a stream in: its first token's text, and whether it ends with that."""
        piece = stream.take([stream.choose(start.logits_V)], start.logits_V)
        if not piece.finished:
            self.rejoin(handle, stream, start.state)
        return piece

    def rejoin(self, handle: int, stream: Stream, state: EngineState) -> None:
        """Let a stream in that has written something: its state (L, 1, H) before its last token."""
        temperature = stream.shaper.temperature_alone
        by = TokenBy.CALLER if temperature is None else BY_MODE[stream.mode]
        if by is TokenBy.DRAW_IF_WORD_BEGINS and not len(self._begins_word):
            ids = range(self._tokenizer.vocab_size)
            self._begins_word = np.array([self._tokenizer.starts_word(i) for i in ids])
        self._places.add(state, stream.last, by, temperature or 0.0)
        self._streams.append((handle, stream, by))

    def suspend(self, handle: int) -> tuple[Stream, EngineState]:
        """Let a stream out that is to `rejoin` later, with its state then."""
        place = next(n for n, entry in enumerate(self._streams) if entry[0] == handle)
        stream, state = self._streams[place][1], self._places.state(place)
        self._leave(place)
        return stream, state

    def cancel(self, handle: int) -> None:
        """Let a stream out, if it is here."""
        for place, entry in enumerate(self._streams):
            if entry[0] == handle:
                self._leave(place)
                return

    def step(self) -> Iterator[tuple[int, Piece]]:
        """Go on with all of them: handles, and what each wrote."""
        if not self._streams:
            return
        tokens = self._write()
        finished = []
        for place, (handle, stream, by) in enumerate(self._streams):
            told = by is TokenBy.CALLER or stream.logprobs is not None
            logits_V = self._places.logits(place) if told else None
            if by is TokenBy.CALLER:
                assert logits_V is not None
                own = [stream.choose(logits_V)]
                self._places.set_token(place, own[0])
            else:
                own = tokens[:, place].tolist()
            piece = stream.take(own, logits_V)
            if piece.finished:
                finished.append(place)
            yield handle, piece
        for place in reversed(finished):
            self._leave(place)

    def _write(self) -> npt.NDArray[np.int64]:
        """Tokens (steps, streams) that come next; what is drawn here is left at 0."""
        steps = min(self._tokens, min(stream.left for _, stream, _ in self._streams))
        if any(by is TokenBy.CALLER or s.logprobs is not None for _, s, by in self._streams):
            steps = 1
        uniforms = np.empty((len(self._streams), steps))
        for place, (_, stream, by) in enumerate(self._streams):
            if by in (TokenBy.DRAW, TokenBy.DRAW_IF_WORD_BEGINS):
                uniforms[place] = stream.uniforms(steps)
        started = time.perf_counter()
        tokens, used = self._places.step(steps, uniforms, self._begins_word)
        seconds = time.perf_counter() - started
        for (_, stream, _), count in zip(self._streams, used.tolist(), strict=True):
            stream.use_up(count)
        if steps == self._tokens:
            # How many are written at once shows in no text, only in how it flows.
            faster = seconds < SECONDS / 2
            self._tokens = min(MOST_TOKENS, 2 * steps) if faster else max(1, steps // 2)
        return tokens

    def _leave(self, place: int) -> None:
        self._places.remove(place)
        last = self._streams.pop()
        if place < len(self._streams):
            self._streams[place] = last
