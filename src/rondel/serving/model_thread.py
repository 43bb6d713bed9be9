"""A model's thread: it passes clients' requests to the scheduler, and outputs back to the clients.

`rondel.generation.scheduler` decides whose turn it is; this module ends texts at their deadlines,
and decides how often a client's outputs are delivered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from rondel.engine import Engine
from rondel.generation.prefix_cache import PrefixCache
from rondel.generation.scheduler import Fairness, Scheduler
from rondel.generation.stream import Output, Request
from rondel.serving.handoff import Busy, Handoff, Ticket
from rondel.serving.metrics import ModelMetrics
from rondel.text.tokenizers import Tokenizer

logger = logging.getLogger(__name__)

FAIRNESS = Fairness(chunk=64, reading_seconds=0.008)
SECONDS_A_STREAM = 0.002
"""The time between two deliveries to a client, per text that is being written."""


@dataclass(eq=False)
class _Client:
    """The thread's record of an unfinished ticket."""

    ticket: Ticket
    left: int
    """Unfinished choices."""
    choices: dict[int, int] = field(default_factory=dict)
    """Choices by the numbers of their streams."""
    outputs: list[Output] = field(default_factory=list)
    """Outputs to be delivered."""
    delivered_at: float = 0.0


class ModelThread:
    """A thread that writes with a model: `capacity` texts at a time, while `max_queue` may wait.

    A text that is not finished `seconds` after its submission is cut off. `prefixes` keeps states
    that later texts can continue.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        tokenizer: Tokenizer,
        *,
        capacity: int,
        max_queue: int,
        seconds: float,
        metrics: ModelMetrics,
        prefixes: PrefixCache | None = None,
    ) -> None:
        self._prefixes = prefixes
        self._engine, self._tokenizer, self._capacity = engine, tokenizer, capacity
        self._metrics = metrics
        self._handoff = Handoff(capacity + max_queue, seconds)
        self._reset()
        self._thread = threading.Thread(target=self._run, name=f"model-{name}", daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[Request], *, whole: bool) -> Ticket:
        """See `Handoff.submit`."""
        try:
            return self._handoff.submit(requests, whole=whole)
        except Busy:
            self._metrics.refused.inc()
            raise

    def stop(self) -> None:
        """End the thread without finishing its texts."""
        self._handoff.stop()
        self._thread.join()

    # The methods below run in the thread.

    def _reset(self) -> None:
        self._scheduler = Scheduler(
            self._engine, self._tokenizer, self._capacity, FAIRNESS, self._prefixes
        )
        self._clients: dict[Ticket, _Client] = {}
        self._client_of: dict[int, _Client] = {}
        """The client of each stream, by number."""

    def _run(self) -> None:
        while (received := self._handoff.receive(wait=not self._clients)) is not None:
            submitted, cancelled = received
            self._clients.update((t, _Client(t, len(t.requests))) for t in submitted)
            try:
                self._tick(submitted, cancelled)
            except Exception as error:
                # The clients of this model get the error, and the service continues.
                logger.exception("writing failed")
                self._fail(error)

    def _tick(self, submitted: Sequence[Ticket], cancelled: Collection[Ticket]) -> None:
        for ticket in submitted:
            client = self._clients[ticket]
            for choice, request in enumerate(ticket.requests):
                number = self._scheduler.add(request)
                client.choices[number] = choice
                self._client_of[number] = client
        self._end_cancelled(cancelled)
        outputs = self._scheduler.step()
        for output in outputs:
            self._keep(output)
        self._measure(outputs)
        self._handoff.deliver(self._due())

    def _end_cancelled(self, cancelled: Collection[Ticket]) -> None:
        """End the texts that were cancelled or have passed their deadlines."""
        now = time.monotonic()
        for client in self._clients.values():
            if client.ticket in cancelled or now > client.ticket.deadline:
                for number in client.choices.keys() & self._client_of.keys():
                    self._scheduler.cancel(number)
                    self._keep(Output(number, finish_reason="length"))

    def _keep(self, output: Output) -> None:
        """Keep an output for its client, until it is delivered."""
        client = self._client_of[output.number]
        client.outputs.append(output._replace(number=client.choices[output.number]))
        if output.finished:
            del self._client_of[output.number]
            client.left -= 1
            self._handoff.count_finished(1)

    def _due(self) -> dict[Ticket, list[Output]]:
        """Return the outputs that are to be delivered now."""
        now, due = time.monotonic(), {}
        pause = SECONDS_A_STREAM * (self._scheduler.running + self._scheduler.waiting)
        for ticket, client in list(self._clients.items()):
            waits = client.left and (ticket.whole or now - client.delivered_at < pause)
            if client.outputs and not waits:
                due[ticket], client.outputs, client.delivered_at = client.outputs, [], now
                if not client.left:
                    del self._clients[ticket]
        return due

    def _measure(self, outputs: Sequence[Output]) -> None:
        scheduler, metrics = self._scheduler, self._metrics
        if read := sum(output.prime_tokens or 0 for output in outputs):
            metrics.read(read)
        if wrote := sum(output.tokens for output in outputs):
            metrics.wrote(wrote, scheduler.running + scheduler.waiting)
        metrics.load(self._handoff.load, scheduler.waiting + scheduler.unread)
        if self._prefixes is not None:
            metrics.cached(self._prefixes)

    def _fail(self, error: Exception) -> None:
        self._handoff.count_finished(sum(client.left for client in self._clients.values()))
        self._handoff.deliver({t: client.outputs for t, client in self._clients.items()}, error)
        self._reset()
