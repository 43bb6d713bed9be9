"""Continuous batching: which primes are read and which streams run, step by step.

This is the one place that decides whose turn it is: `Fairness` has the figures, and four methods of
`Scheduler` decide: `_to_read_beside`, `_next_to_read`, `_to_suspend` and `_next_to_run`. No
decision changes a text: what a stream writes depends only on its request.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

from rondel.engine import Engine
from rondel.generation.prefix_cache import PrefixCache
from rondel.generation.prime import CHUNK, Prime, Start, read_together
from rondel.generation.runner import Runner
from rondel.generation.stream import Output, Request, Stream, StreamState
from rondel.text.tokenizers import Tokenizer

CAPACITY = 64


@dataclass(frozen=True)
class Fairness:
    """How the model's time is divided among streams."""

    turn: int = 256
    """Tokens that a stream writes before it may be suspended in favour of a waiting one."""
    chunk: int = CHUNK
    """Tokens of a prime that are read before the next prime has its turn."""
    together: int = 16
    """The most primes that are read in one batch."""
    reading_seconds: float = math.inf
    """How long a step reads primes before the running streams write."""
    beside: int = 256
    """Tokens of a prime, at the most, that are read beside the texts that are written, a token at
    each of their steps. A longer prime is read faster by itself, while those texts wait."""


class Scheduler:
    """Streams of one model: up to `capacity` run in a step, the others wait or have primes to read.

    A stream that has written its turn goes to the end of the queue, so that a few long texts do not
    delay a short one. Not thread-safe::

        scheduler = Scheduler(model.engine, model.tokenizer)
        number = scheduler.add(Request("The ", GenerationSettings(length=100)))
        while len(scheduler):
            for output in scheduler.step():
                print(output.number, output.text)

    With a `cache`, which a request's `Prime` can be given too, the states at the ends of texts are
    kept, to write on from them.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        capacity: int = CAPACITY,
        fairness: Fairness | None = None,
        cache: PrefixCache | None = None,
    ) -> None:
        self._engine, self._tokenizer, self.capacity = engine, tokenizer, capacity
        self._fairness = fairness or Fairness()
        # One text by itself needs no place for a prime, and is faster without.
        reading = capacity if capacity > 1 else 0
        self._runner = Runner(engine, tokenizer, capacity, reading, cache)
        self._count = 0
        self._streams: dict[int, Stream] = {}
        """All unfinished streams, by number; each is also in one of the next three."""
        self._reading: dict[Prime, list[Stream]] = {}
        """Each prime that is being read, next one first, and the streams that continue it."""
        self._beside: dict[Prime, list[Stream]] = {}
        """The streams of each prime that is read beside those that run."""
        self._waiting: deque[Stream] = deque()
        """Streams that wait to run, next one first."""
        self._running: dict[int, Stream] = {}
        """Running streams, by number; the one that has run longest is first."""
        self._recent: dict[str, Prime] = {}
        """The latest primes that were given as text, as many texts may continue the same one."""

    def __len__(self) -> int:
        """Return how many streams are not finished."""
        return len(self._streams)

    @property
    def running(self) -> int:
        """How many streams are running."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many streams are waiting to run."""
        return len(self._waiting)

    @property
    def unread(self) -> int:
        """How many primes are not fully read."""
        return len(self._reading) + len(self._beside)

    def add(self, request: Request) -> int:
        """Add a stream and return its number, by which outputs refer to it.

        Raises `InputError` for a prime that the model cannot continue (see `check_prime`).
        """
        prime = request.prime
        if isinstance(prime, str):
            prime = self._prime_of(prime)
        stream = Stream(self._count, request, self._tokenizer)
        self._count += 1
        self._streams[stream.number] = stream
        if isinstance(prime, Start):
            self._wait(stream, prime)
        elif prime in self._beside:
            self._beside[prime].append(stream)
        elif prime.left or isinstance(request.prime, Prime):
            self._reading.setdefault(prime, []).append(stream)
        else:
            self._wait(stream, prime.start())
        return stream.number

    def cancel(self, number: int) -> None:
        """Remove a stream, unless it has finished already."""
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.state is StreamState.READING:
            self._cancel_reading(stream)
        elif stream.state is StreamState.WAITING:
            self._waiting.remove(stream)
        else:
            self._runner.suspend(stream)
        self._finish(stream)

    def step(self) -> list[Output]:
        """Read parts of primes, advance the running streams, and return their outputs.

        Raises `ModelFolderError` if the model's output is not a number.
        """
        outputs: list[Output] = []
        for prime in [p for p in self._reading if not p.left]:
            outputs += self._end_reading(prime, self._reading.pop(prime))
        for prime in self._to_read_beside():
            self._beside[prime] = self._reading.pop(prime)
            self._runner.read(prime)
        outputs += self._read_primes()
        written, read = self._runner.step()
        outputs += self._noted(written)
        for prime in read:
            outputs += self._end_reading(prime, self._beside.pop(prime))
        for stream in self._to_suspend():
            self._runner.suspend(stream)
            del self._running[stream.number]
            self._wait(stream)
        while self._waiting and len(self._running) < self.capacity:
            stream = self._next_to_run()
            self._waiting.remove(stream)
            self._running[stream.number] = stream
            stream.state, stream.turn = StreamState.RUNNING, 0
            outputs += self._noted(self._runner.add(stream))
        return outputs

    # Whose turn it is.

    def _to_read_beside(self) -> list[Prime]:
        """Primes to be read beside the streams that run, as far as there are places."""
        if not self._runner.free:
            return []
        return [p for p in self._reading if self._goes_beside(p)][: self._runner.free]

    def _goes_beside(self, prime: Prime) -> bool:
        """Whether a prime is read beside streams, or waits for a place there."""
        if not (self._running and self._runner.reads_beside) or prime.keeps_logprobs:
            return False
        return prime.left <= self._fairness.beside

    def _next_to_read(self) -> list[Prime]:
        """The prime to be read next by itself, and those that can be read together with it."""
        primes = [p for p in self._reading if not self._goes_beside(p)]
        if len(primes) <= 1 or not self._engine.batch_invariant:
            return primes[:1]
        alike = [p for p in primes if p.keeps_logprobs == primes[0].keeps_logprobs]
        return alike[: self._fairness.together]

    def _to_suspend(self) -> list[Stream]:
        """The streams whose turn is over, as many as are needed for those that wait."""
        needed = max(0, len(self._waiting) - (self.capacity - len(self._running)))
        over = [s for s in self._running.values() if s.turn >= self._fairness.turn]
        return over[:needed]

    def _next_to_run(self) -> Stream:
        """The waiting stream that runs next."""
        return self._waiting[0]

    # What the step does with those decisions.

    def _read_primes(self) -> list[Output]:
        """Read parts of primes in turn; return outputs for streams whose primes are now read."""
        outputs = []
        until = time.monotonic() + self._fairness.reading_seconds
        while group := self._next_to_read():
            read_together(group, self._fairness.chunk)
            for prime in group:
                streams = self._reading.pop(prime)
                if prime.left:
                    self._reading[prime] = streams  # behind the others
                else:
                    outputs += self._end_reading(prime, streams)
            if time.monotonic() > until:
                break
        return outputs

    def _end_reading(self, prime: Prime, streams: list[Stream]) -> list[Output]:
        outputs: list[Output] = []
        for stream in streams:
            tokens, logprobs = 0 if outputs else len(prime.ids), tuple(prime.logprobs)
            reason = "length" if stream.request.settings is None else None
            outputs.append(Output(stream.number, "", reason, 0, logprobs, tokens))
            if reason is None:
                self._wait(stream, prime.start())
            else:
                self._finish(stream)
        return outputs

    def _cancel_reading(self, stream: Stream) -> None:
        """Let a stream's prime be read for it no longer, or at all if it is the last stream."""
        for place in (self._reading, self._beside):
            for prime, streams in list(place.items()):
                if stream in streams:
                    streams.remove(stream)
                    if not streams:
                        del place[prime]
                        if place is self._beside:
                            self._runner.stop_reading(prime)

    def _prime_of(self, text: str) -> Prime:
        prime = self._recent.pop(text, None) or Prime(self._engine, self._tokenizer, text)
        self._recent[text] = prime
        if len(self._recent) > self.capacity:
            del self._recent[next(iter(self._recent))]
        return prime

    def _wait(self, stream: Stream, start: Start | None = None) -> None:
        if start is not None:
            stream.begin(start)
        stream.state = StreamState.WAITING
        self._waiting.append(stream)

    def _noted(self, outputs: list[Output]) -> list[Output]:
        """Count the tokens of running streams' outputs, and remove the streams that finished."""
        for output in outputs:
            stream = self._running[output.number]
            stream.turn += output.tokens
            if output.finished:
                self._finish(stream)
        return outputs

    def _finish(self, stream: Stream) -> None:
        stream.state = StreamState.FINISHED
        self._running.pop(stream.number, None)
        del self._streams[stream.number]
