"""Many texts written at once, each as if it were alone.

A `StreamBatch` takes requests at any time between two steps, and gives back pieces of text. What a
stream writes depends on its own request only: its prime, seed, rules and stops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from rondel.engine import Engine
from rondel.generation.logprobs import TokenLogprob
from rondel.generation.prompt import Start, check_prime, read_prime
from rondel.generation.runner import Lockstep
from rondel.generation.sampling.sampler import Shaper
from rondel.generation.search.beam import beam_search
from rondel.generation.settings import GenerationSettings
from rondel.generation.stream import Piece, Stream
from rondel.text.tokenizers import Tokenizer

CAPACITY = 64
TURN = 256
"""Tokens that a stream writes before it may have to make room."""


@dataclass(frozen=True)
class Request:
    """A text to write: sample `index` of its seed, which goes on from `prime`.

    With `logprobs`, each token's log-probability is told, and of so many likeliest ones.
    """

    prime: str
    settings: GenerationSettings
    index: int = 0
    logprobs: int | None = None


class Event(NamedTuple):
    """A piece of a stream's text, which may be empty, and whether it is the last.

    The rest is as in `Piece`.
    """

    handle: int
    piece: str
    finished: bool
    tokens: int = 0
    stopped: bool = False
    told: tuple[TokenLogprob, ...] = ()


class StreamBatch:
    """Streams that one model writes: up to `capacity` at a step, while the others wait their turn.

    One that has written `TURN` tokens goes behind those that wait, so that a few long texts keep
    no short one waiting. Where the engine is compiled, a step of all is one product, and a stream
    may write several tokens in it. Not for several threads at once.
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer, capacity: int = CAPACITY) -> None:
        self._engine, self._tokenizer, self.capacity = engine, tokenizer, capacity
        self._count = 0
        self._waiting: deque[tuple[int, Callable[[], Piece | None]]] = deque()
        self._alone: dict[int, Iterator[Piece]] = {}
        self._together: Lockstep | None = None
        self._turns: dict[int, int] = {}
        """Of those under way, what they wrote since they were let in, the longest there first."""
        places = engine.streams(capacity, tokenizer.unknown_id)
        if places is not None:
            self._together = Lockstep(places, tokenizer)

    def __len__(self) -> int:
        """How many streams are not finished."""
        return len(self._waiting) + len(self._turns)

    @property
    def waiting(self) -> int:
        """How many of them are not written at present."""
        return len(self._waiting)

    def add(self, request: Request, start: Start | None = None) -> int:
        """A new stream's handle; it is written from the next step on that has room for it.

        `start` is what its prime was read to, if that is known, and belongs to the stream from here
        on. Raises `InputError` if its prime is empty, or the model can write nothing.
        """
        Shaper(self._tokenizer, request.settings.rules)
        start = start or read_prime(self._engine, self._tokenizer, request.prime)
        handle, self._count = self._count, self._count + 1
        self._waiting.append((handle, partial(self._begin, handle, request, start)))
        return handle

    def cancel(self, handle: int) -> None:
        """Write no more of a stream, if it is not finished already."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] != handle)
        self._turns.pop(handle, None)
        self._alone.pop(handle, None)
        if self._together is not None:
            self._together.cancel(handle)

    def step(self) -> list[Event]:
        """Go on with all streams that there is room for: their new pieces, in order.

        Raises `ModelFolderError` if the model's output is not a number.
        """
        events = []
        if self._together is not None:
            events += [self._event(handle, piece) for handle, piece in self._together.step()]
        for handle in list(self._alone):
            events.append(self._event(handle, self._next(handle)))
        self._make_room()
        while self._waiting and len(self._turns) < self.capacity:
            handle, enter = self._waiting.popleft()
            self._turns[handle] = 0
            piece = enter()
            if piece is not None:
                events.append(self._event(handle, piece))
        return events

    def _make_room(self) -> None:
        """Let those out whose turn is over, as far as others wait for their places."""
        needed = len(self._waiting) - (self.capacity - len(self._turns))
        if needed <= 0:
            return
        over = [handle for handle, written in self._turns.items() if written >= TURN]
        for handle in over[:needed]:
            del self._turns[handle]
            self._waiting.append((handle, self._suspended(handle)))

    def _suspended(self, handle: int) -> Callable[[], Piece | None]:
        """Let a stream out; what lets it in again."""
        pieces = self._alone.pop(handle, None)
        if pieces is not None:
            return partial(self._alone.__setitem__, handle, pieces)
        assert self._together is not None
        return partial(self._together.rejoin, handle, *self._together.suspend(handle))

    def _begin(self, handle: int, request: Request, start: Start) -> Piece:
        """Let a new stream in: its first piece."""
        settings = request.settings
        if settings.mode == "beam":
            shaper = Shaper(self._tokenizer, settings.rules)
            found = beam_search(self._engine, self._tokenizer, settings, start, shaper)
            self._alone[handle] = (Piece(text, False) for text in found)
            return self._next(handle)
        stream = Stream(self._tokenizer, settings, request.index, start, request.logprobs)
        if self._together is not None:
            return self._together.join(handle, stream, start)
        self._alone[handle] = one_by_one(self._engine, stream, start)
        return self._next(handle)

    def _next(self, handle: int) -> Piece:
        piece = next(self._alone[handle], Piece("", True))
        if piece.finished:
            del self._alone[handle]
        return piece

    def _event(self, handle: int, piece: Piece) -> Event:
        if piece.finished:
            del self._turns[handle]
        else:
            self._turns[handle] += piece.tokens
        return Event(handle, *piece)


def one_by_one(engine: Engine, stream: Stream, start: Start) -> Iterator[Piece]:
    """Pieces of a stream's text, one for each token, by an engine that only steps."""
    logits_V, state = start.logits_V, start.state
    while True:
        piece = stream.take([stream.choose(logits_V)], logits_V)
        yield piece
        if piece.finished:
            return
        logits_1V, state = engine.step(np.array([stream.last]), state)
        logits_V = logits_1V[0]


def write_many(
    engine: Engine, tokenizer: Tokenizer, requests: Iterable[Request], capacity: int = CAPACITY
) -> Iterator[Event]:
    """The events of all requests, whose handles are their numbers; each text is as if alone.

    Raises `InputError` at once if a prime is empty, or the model can write nothing.
    """
    asked = list(requests)
    for request in asked:
        check_prime(request.prime)
        Shaper(tokenizer, request.settings.rules)
    return write_as_asked(engine, tokenizer, partial(next, iter(asked), None), capacity)


def write_as_asked(
    engine: Engine,
    tokenizer: Tokenizer,
    ask: Callable[[], Request | None],
    capacity: int = CAPACITY,
) -> Iterator[Event]:
    """The events of requests that are asked for as there is room, however many they are.

    `ask` gives the next request, or `None` if there is none at present; it ends when there is none
    and all texts are finished. Handles are the requests' numbers.
    """
    batch, primes = StreamBatch(engine, tokenizer, capacity), _Primes(engine, tokenizer, capacity)
    while True:
        # No more primes are read ahead than there is room for.
        while len(batch) < batch.capacity and (request := ask()) is not None:
            batch.add(request, primes.read(request.prime))
        if not len(batch):
            return
        yield from batch.step()


class _Primes:
    """Reads primes, and keeps the latest, which many texts may go on from."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, kept: int) -> None:
        self._engine, self._tokenizer, self._kept = engine, tokenizer, kept
        self._read: dict[str, Start] = {}

    def read(self, prime: str) -> Start:
        """Where the next text that goes on from a prime starts."""
        start = self._read.pop(prime, None) or read_prime(self._engine, self._tokenizer, prime)
        self._read[prime] = start
        if len(self._read) > self._kept:
            del self._read[next(iter(self._read))]
        return start.again()
