"""Contestants timed in turn, each library in a process of its own.

What a library's threads do while they wait is set by the environment as it loads, and what is best
for rondel is not best for PyTorch. So rondel runs as `rondel` starts itself, and its peers as they
come.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

from rondel.threads import set_thread_defaults

SETTLE = 0.01
"""Seconds to wait before each turn, in which the other's threads stop spinning."""


class Contestant(Protocol):
    """What a worker builds; whatever else it can do is called by name."""

    def run(self, count: int) -> None:
        """Do so many units of work."""


class Worker:
    """A process in which contestants are made, asked and timed.

    `calm` starts it with the environment that `rondel` sets itself, `cores` on so many cores.
    """

    def __init__(self, *, calm: bool = False, cores: int | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        with _inherited(calm, cores):
            self._process.start()
        other.close()

    def make(self, name: str, factory: Callable[..., Any], *arguments: Any) -> Turn:
        """Build a contestant under a name."""
        self._call("make", name, factory, arguments)
        return Turn(self, name)

    def ask(self, name: str, method: str, *arguments: Any) -> Any:
        """What a contestant's method returns."""
        return self._call("ask", name, method, arguments)

    def time(self, name: str, count: int) -> float:
        """Seconds that `run(count)` takes."""
        seconds: float = self._call("time", name, count)
        return seconds

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns in that process."""
        return self._call("call", function, arguments)

    def close(self) -> None:
        """End the process, which has nothing to save."""
        self._pipe.close()
        self._process.terminate()
        self._process.join()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, *request: Any) -> Any:
        self._pipe.send(request)
        done, answer = self._pipe.recv()
        if not done:
            raise RuntimeError(f"a contestant failed:\n{answer}")
        return answer


class Timed(Protocol):
    """What can be raced."""

    @property
    def name(self) -> str:
        """What it is called in the results."""

    def time(self, count: int) -> float:
        """Seconds that so many units of work take."""


class Turn(NamedTuple):
    """A contestant, and the worker that holds it."""

    worker: Worker
    name: str

    def ask(self, method: str, *arguments: Any) -> Any:
        """See `Worker.ask`."""
        return self.worker.ask(self.name, method, *arguments)

    def time(self, count: int) -> float:
        """See `Worker.time`."""
        return self.worker.time(self.name, count)


@dataclass(frozen=True)
class Speed:
    """Units of work a second: the median of the rounds, the slowest and the fastest."""

    median: float
    lowest: float
    highest: float


def race(turns: Sequence[Timed], rounds: int, seconds: float) -> dict[str, Speed]:
    """Time each in turn, `rounds` times round, for about so many seconds a turn."""
    counts = [_count_for(turn, seconds) for turn in turns]
    rates: dict[str, list[float]] = {turn.name: [] for turn in turns}
    for _ in range(rounds):
        for turn, count in zip(turns, counts, strict=True):
            time.sleep(SETTLE)
            rates[turn.name].append(count / turn.time(count))
    return {
        name: Speed(statistics.median(them), min(them), max(them)) for name, them in rates.items()
    }


def best_of(speeds: dict[str, Speed], names: Sequence[str]) -> str:
    """The fastest of some contestants, by the median."""
    return max(names, key=lambda name: speeds[name].median)


def _count_for(turn: Timed, seconds: float) -> int:
    """How many units take about so long; the runs that tell also warm the contestant up."""
    turn.time(1)
    # Whatever is compiled or loaded at first, for one unit and for several, tells nothing.
    for count in (1, 2):
        turn.time(count)
    count = 1
    while (taken := turn.time(count)) < seconds / 3:
        count *= 2 if taken > 0.01 * seconds else 10
    return max(1, round(count * seconds / taken))


@contextmanager
def _inherited(calm: bool, cores: int | None) -> Iterator[None]:
    """What a process that is started here starts with."""
    environment = dict(os.environ)
    allowed = os.sched_getaffinity(0) if cores is not None else set()
    if calm:
        set_thread_defaults()
    if cores is not None:
        os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        if cores is not None:
            os.sched_setaffinity(0, allowed)


def _serve(pipe: Connection) -> None:
    contestants: dict[str, Any] = {}
    while True:
        try:
            kind, *request = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((True, _answer(contestants, kind, request)))
        except Exception:
            pipe.send((False, traceback.format_exc()))


def _answer(contestants: dict[str, Any], kind: str, request: list[Any]) -> Any:
    if kind == "call":
        function, arguments = request
        return function(*arguments)
    name, *rest = request
    if kind == "make":
        contestants.pop(name, None)
        contestants[name] = rest[0](*rest[1])
        return None
    if kind == "ask":
        return getattr(contestants[name], rest[0])(*rest[1])
    begin = time.perf_counter()
    contestants[name].run(rest[0])
    return time.perf_counter() - begin
