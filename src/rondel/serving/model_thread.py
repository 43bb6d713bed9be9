"""Continuous batching: what many clients ask of one model, written together as it comes and goes.

A thread owns the model's batch. A client's side of a request is its `Ticket`, which belongs to the
event loop; the two meet in a few attributes that only one of them writes, and in `_inbox`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rondel.engine import Engine
from rondel.errors import RondelError
from rondel.generation.logprobs import TokenLogprob
from rondel.generation.prompt import PrimeReading, Start, read_together
from rondel.generation.scheduler import Event, Request, StreamBatch
from rondel.generation.settings import GenerationSettings
from rondel.serving.metrics import ModelMetrics
from rondel.text.tokenizers import Tokenizer

logger = logging.getLogger(__name__)

PART, TOGETHER, READING_SECONDS = 64, 16, 0.008
"""Of primes: tokens that are read of one before others have their turn, how many are read side by
side, and for how long at the most in a step."""
SECONDS_A_STREAM = 0.002
"""How long a client waits between two pieces, for each text that is written beside its own."""
LONGEST_RETRY = 60


class Busy(RondelError):
    """The queue is full; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the server is busy; try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Work:
    """A prime to go on from, and the texts to write: `count` of them, the first with index `first`.

    The prime is still to be read, or is where a sentence VAE starts from. Without settings nothing
    is written.
    """

    prime: PrimeReading | Start
    settings: GenerationSettings | None
    count: int = 1
    first: int = 0
    logprobs: int | None = None


class Output(NamedTuple):
    """More of a choice's text, and what there is to say of it.

    First comes that its prime was `read`: how many tokens that was, for the first of its choices,
    and what is told of them.
    """

    choice: int
    text: str = ""
    finish_reason: str | None = None
    tokens: int = 0
    told: tuple[TokenLogprob, ...] = ()
    read: bool = False
    prime_tokens: int = 0


@dataclass(eq=False)
class Ticket:
    """A request under way, as its client sees it; choices are counted over all its works."""

    works: Sequence[Work]
    whole: bool
    """Whether the client waits for all of it, so that it need not hear of pieces."""
    deadline: float
    _loop: asyncio.AbstractEventLoop
    _outbox: deque[Output] = field(default_factory=deque)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    failure: BaseException | None = None
    left: int = 0
    """Choices that are not finished; the scheduler counts them."""
    heard: float = 0.0
    cancelled: bool = False

    @property
    def choices(self) -> int:
        """How many choices there are."""
        return sum(work.count for work in self.works)

    async def outputs(self) -> list[Output]:
        """Wait for more of it. Raises what went wrong with the model."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            found = []
            with contextlib.suppress(IndexError):
                while True:
                    found.append(self._outbox.popleft())
            if found:
                return found
            if self.failure is not None:
                raise self.failure


class Scheduler:
    """A model's thread, and its queue of `max_queue` texts beyond those that are written."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        tokenizer: Tokenizer,
        *,
        capacity: int,
        max_queue: int,
        metrics: ModelMetrics,
    ) -> None:
        self._engine, self._tokenizer = engine, tokenizer
        self.capacity, self.max_queue = capacity, max_queue
        self._metrics = metrics
        self._inbox: deque[Ticket] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self.load = 0
        """Texts that were asked for and are not finished."""
        self._pause_between, self._last_end = 1.0, time.monotonic()
        self._reset()
        self._thread = threading.Thread(target=self._run, name=f"scheduler-{name}", daemon=True)
        self._thread.start()

    # The event loop's side.

    def submit(self, works: Sequence[Work], *, seconds: float, whole: bool) -> Ticket:
        """Take a request in. Raises `Busy` if the queue is full."""
        ticket = Ticket(works, whole, time.monotonic() + seconds, asyncio.get_running_loop())
        with self._wake:
            if self.load + ticket.choices > self.capacity + self.max_queue:
                raise Busy(max(1, math.ceil(self._pause_between)))
            self.load += ticket.choices
            ticket.left = ticket.choices
            self._inbox.append(ticket)
            self._wake.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Write no more for a client that is gone."""
        with self._wake:
            ticket.cancelled = True
            self._wake.notify()

    def stop(self) -> None:
        """End the thread; what is under way is not finished."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    # The thread's side.

    def _reset(self) -> None:
        self._batch = StreamBatch(self._engine, self._tokenizer, self.capacity)
        self._readings: deque[_Reading] = deque()
        self._streams: dict[int, tuple[Ticket, int]] = {}
        self._tickets: dict[Ticket, None] = {}
        self._untold: dict[Ticket, None] = {}

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._stopping or self._inbox or self._tickets):
                    self._wake.wait()
                if self._stopping:
                    return
                arrived, self._inbox = self._inbox, deque()
            try:
                self._tick(arrived)
            except Exception as error:
                # One model's trouble is told to its clients, and the service goes on.
                logger.exception("writing failed")
                for ticket in {**self._tickets, **dict.fromkeys(arrived)}:
                    ticket.failure = error
                    self._let_go(ticket)
                    _publish([ticket])
                self._reset()

    def _tick(self, arrived: Sequence[Ticket]) -> None:
        for ticket in arrived:
            self._tickets[ticket] = None
            self._admit(ticket)
        self._drop_what_is_over()
        due = self._read_primes()
        written = 0
        for event in self._batch.step() if len(self._batch) else ():
            ticket, choice = self._streams[event.handle]
            written += event.tokens
            self._give(ticket, _output(choice, event))
            if event.finished:
                del self._streams[event.handle]
            due[ticket] = None
        if written:
            self._metrics.wrote(written, len(self._streams))
        self._metrics.load(self.load, self._batch.waiting + len(self._readings))
        self._tell(due)

    def _admit(self, ticket: Ticket) -> None:
        first = 0
        for work in ticket.works:
            own = range(first, first := first + work.count)
            if isinstance(work.prime, Start):
                self._begin(ticket, own, work, work.prime)
            else:
                self._readings.append(_Reading(ticket, own, work, work.prime))

    def _read_primes(self) -> dict[Ticket, None]:
        """Read on where primes are not read yet, each a part in its turn: whose have been."""
        due: dict[Ticket, None] = {}
        until = time.monotonic() + READING_SECONDS
        while self._readings:
            group = self._next_readings()
            read_together([reading.prime for reading in group], PART)
            for reading in group:
                if reading.prime.left:
                    self._readings.append(reading)
                else:
                    self._finish_reading(reading)
                    due[reading.ticket] = None
            if time.monotonic() > until:
                break
        return due

    def _next_readings(self) -> list[_Reading]:
        """Those whose turn it is to be read on, together where the engine can."""
        first = self._readings.popleft()
        group = [first]
        if not self._engine.batch_invariant:
            return group
        others = [r for r in self._readings if r.prime.tells == first.prime.tells]
        group += others[: TOGETHER - 1]
        chosen = set(map(id, group))
        self._readings = deque(r for r in self._readings if id(r) not in chosen)
        return group

    def _finish_reading(self, reading: _Reading) -> None:
        ticket, work = reading.ticket, reading.work
        start = reading.prime.start()
        self._metrics.read(len(start.ids))
        tokens, told = len(start.ids), tuple(reading.prime.told)
        done = "length" if work.settings is None else None
        for choice in reading.choices:
            counted = tokens if choice == reading.choices.start else 0
            self._give(ticket, Output(choice, "", done, 0, told, True, counted))
        self._begin(ticket, reading.choices, work, start)

    def _begin(self, ticket: Ticket, choices: range, work: Work, start: Start) -> None:
        if work.settings is None:
            return
        for index, choice in enumerate(choices, work.first):
            request = Request("", work.settings, index, work.logprobs)
            self._streams[self._batch.add(request, start.again())] = ticket, choice

    def _give(self, ticket: Ticket, output: Output) -> None:
        ticket._outbox.append(output)
        if output.finish_reason is not None:
            ticket.left -= 1
            self._count_out(1)
            if not ticket.left:
                self._tickets.pop(ticket, None)

    def _drop_what_is_over(self) -> None:
        """Let go of clients that are gone, and finish what has taken its time."""
        now = time.monotonic()
        over = [t for t in self._tickets if t.cancelled or now > t.deadline]
        if not over:
            return
        gone = set(over)
        unfinished = [(t, c) for t, c in self._streams.values() if t in gone]
        unfinished += [(r.ticket, c) for r in self._readings if r.ticket in gone for c in r.choices]
        for handle, (ticket, _) in list(self._streams.items()):
            if ticket in gone:
                self._batch.cancel(handle)
                del self._streams[handle]
        self._readings = deque(r for r in self._readings if r.ticket not in gone)
        for ticket, choice in unfinished:
            self._give(ticket, Output(choice, finish_reason="length"))
        _publish(over)

    def _let_go(self, ticket: Ticket) -> None:
        self._count_out(ticket.left)
        ticket.left = 0

    def _count_out(self, texts: int) -> None:
        """Note that so many are over, and how long that takes for one these days."""
        now = time.monotonic()
        with self._wake:
            self.load -= texts
        lately = min(now - self._last_end, LONGEST_RETRY)
        self._pause_between += 0.2 * (lately - self._pause_between)
        self._last_end = now

    def _tell(self, due: dict[Ticket, None]) -> None:
        """Wake the clients that have waited long enough for what has come."""
        now = time.monotonic()
        pause = SECONDS_A_STREAM * len(self._streams)
        ready, self._untold, waiting = [], {}, {**self._untold, **due}
        for ticket in waiting:
            if not ticket.left or (not ticket.whole and now - ticket.heard >= pause):
                ticket.heard = now
                ready.append(ticket)
            elif not ticket.whole:
                self._untold[ticket] = None
        _publish(ready)


class _Reading(NamedTuple):
    ticket: Ticket
    choices: range
    work: Work
    prime: PrimeReading


def _output(choice: int, event: Event) -> Output:
    reason = ("stop" if event.stopped else "length") if event.finished else None
    return Output(choice, event.piece, reason, event.tokens, event.told)


def _publish(tickets: Sequence[Ticket]) -> None:
    """Tell the event loop, once for all of them."""
    loops: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
    for ticket in tickets:
        loops.setdefault(ticket._loop, []).append(ticket)
    for loop, own in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_set_ready, own)


def _set_ready(tickets: Sequence[Ticket]) -> None:
    for ticket in tickets:
        ticket._ready.set()
