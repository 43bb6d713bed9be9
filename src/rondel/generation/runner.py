"""Runs the model for streams: all together where an engine can, each by itself where not.

Whose turn it is, the scheduler says. Shapes: L layers, H hidden size, V vocabulary.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from rondel.engine import Engine
from rondel.engine.base import TokenBy
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
        self._places = engine.streams(capacity, tokenizer.unknown_id)
        self._together: list[tuple[Stream, TokenBy]] = []
        """By their places in the engine; it keeps their states, and draws where it can."""
        self._alone: list[Stream] = []
        """What the engine cannot: searches, and all streams of one that only steps."""
        self._begins_word: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._steps = 1

    def add(self, stream: Stream) -> list[Output]:
        """Let a stream run: the output of its first token, if it has none yet."""
        if stream.start is None:
            self._place(stream)
            return []
        start, stream.start = stream.start, None
        if stream.sampler.mode == "beam":
            settings = stream.request.settings
            assert settings is not None
            stream.search = beam_search(self._engine, self._tokenizer, settings, start)
            output = self._step_alone(stream)
        else:
            output = stream.choose(start.logits_V)
        if not output.finished:
            self._place(stream)
        return [output]

    def _place(self, stream: Stream) -> None:
        if self._places is None or stream.search is not None:
            self._alone.append(stream)
            return
        temperature = stream.sampler.shaper.temperature_alone
        by = TokenBy.CALLER if temperature is None else BY_MODE[stream.sampler.mode]
        if by is TokenBy.DRAW_IF_WORD_BEGINS and not len(self._begins_word):
            ids = range(self._tokenizer.vocab_size)
            self._begins_word = np.array([self._tokenizer.starts_word(i) for i in ids])
        self._places.add(stream.engine_state, stream.sampler.last, by, temperature or 0.0)
        self._together.append((stream, by))

    def suspend(self, stream: Stream) -> None:
        """Let a stream run no longer; it has what it needs to run again."""
        if stream in self._alone:
            self._alone.remove(stream)
            return
        assert self._places is not None
        place = next(n for n, entry in enumerate(self._together) if entry[0] is stream)
        stream.engine_state = self._places.state(place)
        self._leave(place)

    def step(self) -> list[Output]:
        """Go on with all that run. Those that finish run no longer."""
        outputs = self._step_together() if self._together else []
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

    def _step_together(self) -> list[Output]:
        assert self._places is not None
        tokens = self._write()
        outputs = []
        for place, (stream, by) in enumerate(self._together):
            if by is TokenBy.CALLER:
                outputs.append(stream.choose(self._places.logits(place)))
                self._places.set_token(place, stream.sampler.last)
            else:
                noted = stream.request.logprobs is not None
                logits_V = self._places.logits(place) if noted else None
                outputs.append(stream.take(tokens[:, place].tolist(), logits_V))
        for place in reversed(range(len(outputs))):
            if outputs[place].finished:
                self._leave(place)
        return outputs

    def _write(self) -> npt.NDArray[np.int64]:
        """Tokens (steps, streams) that come next; what the caller chooses is left at 0."""
        assert self._places is not None
        steps = min(self._steps, *(stream.left for stream, _ in self._together))
        if any(by is TokenBy.CALLER or s.request.logprobs is not None for s, by in self._together):
            steps = 1
        uniforms = np.empty((len(self._together), steps))
        for place, (stream, by) in enumerate(self._together):
            if by in (TokenBy.DRAW, TokenBy.DRAW_IF_WORD_BEGINS):
                uniforms[place] = stream.sampler.uniforms(steps)
        started = time.perf_counter()
        tokens, used = self._places.step(steps, uniforms, self._begins_word)
        seconds = time.perf_counter() - started
        for (stream, _), count in zip(self._together, used.tolist(), strict=True):
            stream.sampler.use_up(count)
        if steps == self._steps:
            # How many are written at once shows in no text, only in how it flows.
            faster = seconds < SECONDS / 2
            self._steps = min(MOST_TOKENS, 2 * steps) if faster else max(1, steps // 2)
        return tokens

    def _leave(self, place: int) -> None:
        assert self._places is not None
        self._places.remove(place)
        last = self._together.pop()
        if place < len(self._together):
            self._together[place] = last
