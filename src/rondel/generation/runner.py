"""Runs the model for streams: all together where an engine can, each by itself where not.

Whose turn it is, the scheduler says. Shapes: L layers, H hidden size, V vocabulary.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from rondel.engine import Engine
from rondel.engine.base import Streams, TokenBy, Written
from rondel.generation.logprobs import likelihoods
from rondel.generation.search.beam import beam_search
from rondel.generation.stream import Output, Stream
from rondel.text.tokenizers import Tokenizer

MOST_TOKENS, SECONDS = 256, 0.01
"""What a stream writes in one step at the most, and how long that should take."""

BY_MODE = {
    "sample": TokenBy.DRAW,
    "argmax": TokenBy.LIKELIEST,
    "spaces": TokenBy.DRAW_IF_WORD_BEGINS,
}


class Runner:
    """An engine, and the streams that run on it at present."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, capacity: int) -> None:
        self._engine, self._tokenizer = engine, tokenizer
        places = engine.streams(capacity, tokenizer.unknown_id)
        self._together = None if places is None else _Together(places, tokenizer)
        self._alone: list[Stream] = []
        """What the engine cannot: searches, and all streams of one that only steps."""

    def add(self, stream: Stream) -> list[Output]:
        """Let a stream run: the output of its first token, if it has none yet."""
        if stream.start is None:
            self._place(stream)
            return []
        start, stream.start = stream.start, None
        if stream.sampler.mode == "beam":
            stream.search = beam_search(self._engine, self._tokenizer, stream.settings, start)
            output = self._step_alone(stream)
        else:
            output = stream.choose(start.logits_V)
        if not output.finished:
            self._place(stream)
        return [output]

    def _place(self, stream: Stream) -> None:
        if self._together is None or stream.search is not None:
            self._alone.append(stream)
        else:
            self._together.add(stream)

    def suspend(self, stream: Stream) -> None:
        """Let a stream run no longer; it has what it needs to run again."""
        if stream in self._alone:
            self._alone.remove(stream)
        elif self._together is not None:
            self._together.suspend(stream)

    def step(self) -> list[Output]:
        """Go on with all that run. Those that finish run no longer."""
        outputs = [] if self._together is None else self._together.step()
        for stream in list(self._alone):
            outputs.append(output := self._step_alone(stream))
            if output.finished:
                self._alone.remove(stream)
        return outputs

    def _step_alone(self, stream: Stream) -> Output:
        if stream.search is not None:
            text = next(stream.search, None)
            return Output(stream.number, text or "", "length" if text is None else None)
        last_1 = np.array([stream.sampler.last])
        logits_1V, stream.engine_state = self._engine.step(last_1, stream.engine_state)
        return stream.choose(logits_1V[0])


class _Together:
    """Streams by their places in the engine; it keeps their states, and draws where it can."""

    def __init__(self, places: Streams, tokenizer: Tokenizer) -> None:
        self._places, self._tokenizer = places, tokenizer
        self._streams: list[tuple[Stream, TokenBy]] = []
        self._begins_word: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._steps = 1

    def add(self, stream: Stream) -> None:
        """Give a stream the last place."""
        temperature = stream.sampler.shaper.temperature_alone
        by = TokenBy.CALLER if temperature is None else BY_MODE[stream.sampler.mode]
        if by is TokenBy.DRAW_IF_WORD_BEGINS and not len(self._begins_word):
            ids = range(self._tokenizer.vocab_size)
            self._begins_word = np.array([self._tokenizer.starts_word(i) for i in ids])
        self._places.add(
            stream.engine_state,
            stream.sampler.last,
            by,
            temperature or 0.0,
            stream.request.logprobs,
        )
        self._streams.append((stream, by))

    def suspend(self, stream: Stream) -> None:
        """Free a stream's place; its state is its own again."""
        place = next(n for n, entry in enumerate(self._streams) if entry[0] is stream)
        stream.engine_state = self._places.state(place)
        self._leave(place)

    def step(self) -> list[Output]:
        """Write more of every stream. Those that finish leave their places."""
        if not self._streams:
            return []
        written = self._write()
        outputs = []
        for place, (stream, by) in enumerate(self._streams):
            if by is TokenBy.CALLER:
                outputs.append(stream.choose(self._places.logits(place)))
                self._places.set_token(place, stream.sampler.last)
            else:
                count, tokens = stream.request.logprobs, written.tokens[:, place].tolist()
                reported = () if count is None else likelihoods(written, place, count)
                outputs.append(stream.take(tokens, reported))
        for place in reversed(range(len(outputs))):
            if outputs[place].finished:
                self._leave(place)
        return outputs

    def _write(self) -> Written:
        """What comes next; tokens that the caller chooses are left at 0."""
        steps = min(self._steps, *(stream.left for stream, _ in self._streams))
        if any(by is TokenBy.CALLER for _, by in self._streams):
            steps = 1
        uniforms = np.empty((len(self._streams), steps))
        for place, (stream, by) in enumerate(self._streams):
            if by in (TokenBy.DRAW, TokenBy.DRAW_IF_WORD_BEGINS):
                uniforms[place] = stream.sampler.uniforms(steps)
        started = time.perf_counter()
        written, used = self._places.step(steps, uniforms, self._begins_word)
        seconds = time.perf_counter() - started
        for (stream, _), count in zip(self._streams, used.tolist(), strict=True):
            stream.sampler.use_up(count)
        if steps == self._steps:
            # How many are written at once shows in no text, only in how it flows.
            faster = seconds < SECONDS / 2
            self._steps = min(MOST_TOKENS, 2 * steps) if faster else max(1, steps // 2)
        return written

    def _leave(self, place: int) -> None:
        self._places.remove(place)
        last = self._streams.pop()
        if place < len(self._streams):
            self._streams[place] = last
