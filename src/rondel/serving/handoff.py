"""All that passes between the event loop and a model's thread: requests there, outputs back.

Nothing else is shared. A `Ticket` belongs to the event loop: the thread sends outputs to the loop,
and reads only those fields of a ticket that never change.
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
    """A client's requests and the outputs that it waits for; the text of each is a choice."""

    requests: Sequence[Request]
    whole: bool
    """Whether the client waits for whole texts, so that pieces need not be delivered."""
    deadline: float
    _handoff: Handoff
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _outputs: list[Output] = field(default_factory=list)
    _failure: BaseException | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def outputs(self) -> list[Output]:
        """Wait for outputs; an output's number is its choice. Raises what the thread raised."""
        while not self._outputs:
            if self._failure is not None:
                raise self._failure
            await self._ready.wait()
            self._ready.clear()
        outputs, self._outputs = self._outputs, []
        return outputs

    def cancel(self) -> None:
        """Cancel what is not finished."""
        self._handoff.cancel(self)

    def _receive(self, outputs: Sequence[Output], failure: BaseException | None) -> None:
        self._outputs += outputs
        self._failure = failure
        self._ready.set()


class Handoff:
    """Queues between the event loop, which submits requests, and the thread that writes.

    There are at most `most` unfinished texts; each has `seconds` from its submission on.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._changed = threading.Condition()
        self._submitted: list[Ticket] = []
        self._cancelled: set[Ticket] = set()
        self._stopping = False
        self.load = 0
        """The number of unfinished texts."""
        self._pause_between, self._last_end = 1.0, time.monotonic()

    # Called by the event loop.

    def submit(self, requests: Sequence[Request], *, whole: bool) -> Ticket:
        """Submit texts to write. Raises `Busy` if there is no room for them."""
        ticket = Ticket(requests, whole, time.monotonic() + self._seconds, self)
        with self._changed:
            if self.load + len(requests) > self._most:
                raise Busy(max(1, math.ceil(self._pause_between)))
            self.load += len(requests)
            self._submitted.append(ticket)
            self._changed.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Cancel a ticket, which may be finished already."""
        with self._changed:
            self._cancelled.add(ticket)

    def stop(self) -> None:
        """Make the thread end without finishing its texts."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    # Called by the thread.

    def receive(self, *, wait: bool) -> tuple[list[Ticket], set[Ticket]] | None:
        """Return the tickets submitted and cancelled since the last call; `None` if it is to end.

        With `wait`, it blocks until a ticket is submitted.
        """
        with self._changed:
            while wait and not (self._submitted or self._stopping):
                self._changed.wait()
            submitted, self._submitted = self._submitted, []
            cancelled, self._cancelled = self._cancelled, set()
            return None if self._stopping else (submitted, cancelled)

    def count_finished(self, texts: int) -> None:
        """Record that so many texts ended, and the average time between such ends."""
        now = time.monotonic()
        with self._changed:
            self.load -= texts
            latest = min(now - self._last_end, LONGEST_RETRY)
            self._pause_between += 0.2 * (latest - self._pause_between)
            self._last_end = now

    def deliver(
        self, deliveries: Mapping[Ticket, Sequence[Output]], failure: BaseException | None = None
    ) -> None:
        """Send outputs to the event loop, and the exception if the thread failed."""
        # Each loop is woken once for all its outputs.
        for loop in {ticket._loop for ticket in deliveries}:
            of_loop = [(t, outputs) for t, outputs in deliveries.items() if t._loop is loop]
            with contextlib.suppress(RuntimeError):  # the loop is closed: no client waits
                loop.call_soon_threadsafe(_receive, of_loop, failure)


def _receive(
    deliveries: Sequence[tuple[Ticket, Sequence[Output]]], failure: BaseException | None
) -> None:
    for ticket, outputs in deliveries:
        ticket._receive(outputs, failure)
