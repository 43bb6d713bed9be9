"""Runs the model for streams: all in one step where the engine can, otherwise one by one.

The scheduler decides which streams run. Shapes: L layers, H hidden size, V vocabulary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.engine import Engine
from rondel.engine.base import CommonFirst, Ids, Streams, TokenBy, Written
from rondel.generation.logprobs import Reports
from rondel.generation.prefix_cache import PrefixCache
from rondel.generation.prime import Prime, Start
from rondel.generation.search.beam import beam_search
from rondel.generation.stream import Output, Stream
from rondel.text.tokenizers import Tokenizer

MOST_TOKENS, SECONDS = 256, 0.01
"""The most tokens that a stream writes in one step, and how long a step should take."""

BY_MODE = {
    "sample": TokenBy.DRAW,
    "argmax": TokenBy.LIKELIEST,
    "spaces": TokenBy.DRAW_IF_WORD_BEGINS,
}


class Runner:
    """An engine, and the streams that run on it and the primes read beside them at present."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        capacity: int,
        reading: int = 0,
        cache: PrefixCache | None = None,
    ) -> None:
        """Allocate places for `capacity` streams and `reading` primes, where an engine has them.

        The states at the ends of texts are kept in the `cache`, since many are written on from.
        """
        self._engine, self._tokenizer = engine, tokenizer
        places = engine.streams(capacity + reading, tokenizer.unknown_id)
        self.reads_beside = places is not None and reading > 0
        """Whether primes may be read beside the streams that run."""
        self.free = reading if self.reads_beside else 0
        """How many more may be."""
        self._together = None if places is None else _Together(places, tokenizer, cache)
        self._common_first = engine if isinstance(engine, CommonFirst) else None
        self._alone: list[Stream] = []
        """Streams run one by one: searches, and all streams if the engine has no places."""

    def add(self, stream: Stream) -> list[Output]:
        """Add a stream; return the output of its first token, if it is new."""
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
        """Remove a stream that has not finished; it can be added again."""
        if stream in self._alone:
            self._alone.remove(stream)
        elif self._together is not None:
            self._together.suspend(stream)

    def read(self, prime: Prime) -> None:
        """Read a prime beside the streams that run, for which there is a `free` place."""
        assert self._together is not None
        self.free -= 1
        self._together.read(prime)

    def stop_reading(self, prime: Prime) -> None:
        """Read a prime no longer; what was read of it beside the streams is lost."""
        assert self._together is not None
        self.free += 1
        self._together.stop_reading(prime)

    def step(self) -> tuple[list[Output], list[Prime]]:
        """Go on with all: outputs, and the primes that are read to their ends.

        Those that finish run no longer.
        """
        outputs, primes = ([], []) if self._together is None else self._together.step()
        self.free += len(primes)
        for stream in list(self._alone):
            outputs.append(output := self._step_alone(stream))
            if output.finished:
                self._alone.remove(stream)
        return outputs, primes

    def _step_alone(self, stream: Stream) -> Output:
        if stream.search is not None:
            text = next(stream.search, None)
            return Output(stream.number, text or "", "length" if text is None else None)
        last_1 = np.array([stream.sampler.last])
        if self._common_first is not None:
            return self._step_early(self._common_first, stream, last_1)
        logits_1V, stream.engine_state = self._engine.step(last_1, stream.engine_state)
        return stream.choose(logits_1V[0])

    def _step_early(self, engine: CommonFirst, stream: Stream, last_1: Ids) -> Output:
        """Choose a token by the common tokens' probabilities, or by all logits if they are needed.

        It is the same token either way.
        """
        common_1C, clusters_1K, outputs_1H, state = engine.common(last_1, stream.engine_state)
        stream.engine_state = state
        token = None
        if stream.request.logprobs is None:
            sampler = stream.sampler
            token = sampler.choose_early(common_1C[0], clusters_1K[0], engine.cluster_sizes)
        if token is None:
            return stream.choose(engine.all_logits(outputs_1H)[0])
        return stream.take([token])


@dataclass
class _Writing:
    """A stream that is written token by token."""

    stream: Stream
    by: TokenBy

    @property
    def left(self) -> int:
        return self.stream.left


@dataclass
class _Reading:
    """A prime that is read beside streams."""

    prime: Prime
    left: int
    by = TokenBy.GIVEN


class _Together:
    """Streams and primes by their places in the engine, which keeps their states."""

    def __init__(self, places: Streams, tokenizer: Tokenizer, cache: PrefixCache | None) -> None:
        self._places, self._tokenizer, self._cache = places, tokenizer, cache
        self._rows: list[_Writing | _Reading] = []
        self._begins_word: npt.NDArray[np.bool_] = np.zeros(0, bool)
        self._steps = 1

    def add(self, stream: Stream) -> None:
        """Add a stream at the last place."""
        temperature = stream.sampler.shaper.temperature_alone
        by = TokenBy.CALLER if temperature is None else BY_MODE[stream.sampler.mode]
        if by is TokenBy.DRAW_IF_WORD_BEGINS and not len(self._begins_word):
            ids = range(self._tokenizer.vocab_size)
            self._begins_word = np.array([self._tokenizer.starts_word(i) for i in ids])
        state, last = stream.engine_state, stream.sampler.last
        self._places.add(state, last, by, temperature or 0.0, stream.request.logprobs)
        self._rows.append(_Writing(stream, by))

    def suspend(self, stream: Stream) -> None:
        """Remove a stream, and give it back the state that the engine kept."""
        rows = enumerate(self._rows)
        place = next(n for n, row in rows if isinstance(row, _Writing) and row.stream is stream)
        stream.engine_state = self._places.state(place)
        self._leave(place)

    def read(self, prime: Prime) -> None:
        """Give a prime the last place."""
        self._places.add(prime.state, int(prime.unread[0]), TokenBy.GIVEN, 1.0)
        self._rows.append(_Reading(prime, prime.left))

    def stop_reading(self, prime: Prime) -> None:
        """Free a prime's place; what was read there is lost."""
        rows = enumerate(self._rows)
        self._leave(next(n for n, row in rows if isinstance(row, _Reading) and row.prime is prime))

    def step(self) -> tuple[list[Output], list[Prime]]:
        """Go on with all rows. Streams and primes that finish leave their places."""
        if not self._rows:
            return [], []
        written = self._write()
        # Whole arrays become lists much faster than a slice for each stream.
        tokens, reports = written.tokens.T.tolist(), Reports(written)
        outputs: list[Output] = []
        primes: list[Prime] = []
        over: list[int] = []
        for place, row in enumerate(self._rows):
            if isinstance(row, _Writing):
                outputs.append(output := self._output(place, row, tokens[place], reports))
                finished = output.finished
                if output.finish_reason == "length":
                    self._keep(row.stream, place)
            else:
                row.left -= len(written.tokens)
                if finished := not row.left:
                    logits_V, state = self._places.logits(place), self._places.state(place)
                    row.prime.advance(row.prime.left, logits_V, state)
                    primes.append(row.prime)
            if finished:
                over.append(place)
        for place in reversed(over):
            self._leave(place)
        return outputs, primes

    def _output(self, place: int, row: _Writing, tokens: list[int], reports: Reports) -> Output:
        stream = row.stream
        if row.by is TokenBy.CALLER:
            output = stream.choose(self._places.logits(place))
            self._places.set_token(place, stream.sampler.last)
            return output
        return stream.take(tokens, reports.of(place, stream.request.logprobs))

    def _keep(self, stream: Stream, place: int) -> None:
        """Keep the state at the end of a text that was not stopped, to write on from it.

        Where a text starts from a state, that does not follow from its tokens.
        """
        if self._cache is not None and not isinstance(stream.request.prime, Start):
            self._cache.keep(stream.sampler.ids[:-1], self._places.state(place))

    def _write(self) -> Written:
        """What comes next; tokens that the engine does not choose are left at 0."""
        rows = self._rows
        steps = min(self._steps, *(row.left for row in rows))
        if any(row.by is TokenBy.CALLER for row in rows):
            steps = 1
        uniforms = np.empty((len(rows), steps))
        given = np.zeros((steps, len(rows)), np.int64)
        for place, row in enumerate(rows):
            if isinstance(row, _Reading):
                following = row.prime.ids[-row.left :][1 : steps + 1]
                given[: len(following), place] = following
            elif row.by in (TokenBy.DRAW, TokenBy.DRAW_IF_WORD_BEGINS):
                uniforms[place] = row.stream.sampler.uniforms(steps)
        started = time.perf_counter()
        written, used = self._places.step(steps, uniforms, self._begins_word, given)
        seconds = time.perf_counter() - started
        for row, count in zip(rows, used.tolist(), strict=True):
            if isinstance(row, _Writing):
                row.stream.sampler.use_up(count)
        if steps == self._steps:
            # The number of steps does not change the text, only how smoothly it appears.
            faster = seconds < SECONDS / 2
            self._steps = min(MOST_TOKENS, 2 * steps) if faster else max(1, steps // 2)
        return written

    def _leave(self, place: int) -> None:
        self._places.remove(place)
        last = self._rows.pop()
        if place < len(self._rows):
            self._rows[place] = last
