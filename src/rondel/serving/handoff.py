"""Requests to a model's thread, and outputs back to the event loop: all that crosses threads.

Nothing else is shared. A `Ticket` is the event loop's: the thread hands its outputs to the loop and
touches nothing of it but what never changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rondel.errors import RondelError
from rondel.generation.stream import Output, Request

LONGEST_RETRY = 60


class Busy(RondelError):
    """The queue is full; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the server is busy; try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(eq=False)
class Ticket:
    """What a client asked for, as it waits for it: the text of each request is a choice."""

    requests: Sequence[Request]
    whole: bool
    """Whether it waits for all of it, so that it need not hear of pieces."""
    deadline: float
    _handoff: Handoff
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _outputs: list[Output] = field(default_factory=list)
    _failure: BaseException | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def outputs(self) -> list[Output]:
        """Wait for more of it; the choice is an output's number. Raises what the thread raised."""
        while not self._outputs:
            if self._failure is not None:
                raise self._failure
            await self._ready.wait()
            self._ready.clear()
        outputs, self._outputs = self._outputs, []
        return outputs

    def cancel(self) -> None:
        """Say that nobody waits for it any more."""
        self._handoff.cancel(self)

    def _receive(self, outputs: Sequence[Output], failure: BaseException | None) -> None:
        self._outputs += outputs
        self._failure = failure
        self._ready.set()


class Handoff:
    """Between the event loop, which submits, and a thread that writes: up to `most` texts.

    They are to be written within so many `seconds`.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._changed = threading.Condition()
        self._submitted: list[Ticket] = []
        self._cancelled: set[Ticket] = set()
        self._stopping = False
        self.load = 0
        """Texts that were asked for and are not finished."""
        self._pause_between, self._last_end = 1.0, time.monotonic()

    # The event loop's side.

    def submit(self, requests: Sequence[Request], *, whole: bool) -> Ticket:
        """Have texts written. Raises `Busy` if there is no room for them."""
        ticket = Ticket(requests, whole, time.monotonic() + self._seconds, self)
        with self._changed:
            if self.load + len(requests) > self._most:
                raise Busy(max(1, math.ceil(self._pause_between)))
            self.load += len(requests)
            self._submitted.append(ticket)
            self._changed.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Say that nobody waits for a ticket; it may be finished already."""
        with self._changed:
            self._cancelled.add(ticket)

    def stop(self) -> None:
        """Have the thread end; what is under way is not finished."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    # The thread's side.

    def receive(self, *, wait: bool) -> tuple[list[Ticket], set[Ticket]] | None:
        """What was submitted and what cancelled since the last time; `None` if it is to end.

        It waits for something to be submitted if it is told to.
        """
        with self._changed:
            while wait and not (self._submitted or self._stopping):
                self._changed.wait()
            submitted, self._submitted = self._submitted, []
            cancelled, self._cancelled = self._cancelled, set()
            return None if self._stopping else (submitted, cancelled)

    def count_out(self, texts: int) -> None:
        """Note that so many texts are over, and how long that takes for one these days."""
        now = time.monotonic()
        with self._changed:
            self.load -= texts
            lately = min(now - self._last_end, LONGEST_RETRY)
            self._pause_between += 0.2 * (lately - self._pause_between)
            self._last_end = now

    def deliver(
        self, deliveries: Mapping[Ticket, Sequence[Output]], failure: BaseException | None = None
    ) -> None:
        """Hand outputs to the event loop, and why there will be no more, if something failed."""
        # A loop is woken once for all of them.
        for loop in {ticket._loop for ticket in deliveries}:
            own = [(t, outputs) for t, outputs in deliveries.items() if t._loop is loop]
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_receive, own, failure)


def _receive(
    deliveries: Sequence[tuple[Ticket, Sequence[Output]]], failure: BaseException | None
) -> None:
    for ticket, outputs in deliveries:
        ticket._receive(outputs, failure)
