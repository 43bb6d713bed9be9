"""Choose how to split work among threads by measurement: the fastest recent split is used.

Two threads beside a busy process can be slower than one, and only a measurement shows it. Results
do not depend on the split.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

# Measurements between trials of the other splits; doubled by a trial that finds none faster.
SHORTEST_INTERVAL, LONGEST_INTERVAL = 4, 512
# A trial has at least this many steps and lasts at least this long, so that the time to wake a
# thread matters little, unless the caller asks for fewer steps.
TRIAL_STEPS, TRIAL_SECONDS = 32, 0.004


class Split(NamedTuple):
    """Either independent `blocks` of rows, or `workers` that share the units of each layer."""

    blocks: int
    workers: int


ALONE = Split(1, 1)
_workers_running = threading.Lock()


@contextmanager
def acquired(split: Split) -> Iterator[Split]:
    """Yield `split`, or `ALONE` while another run's workers use the team.

    Workers wait for each other: those of two runs in one team could deadlock.
    """
    if split.workers == 1:
        yield split
    elif _workers_running.acquire(blocking=False):
        try:
            yield split
        finally:
            _workers_running.release()
    else:
        yield ALONE


@dataclass
class _Timings:
    """Measurements of one kind of work."""

    seconds: dict[Split, float] = field(default_factory=dict)
    """Of one step, as last measured."""
    untried: list[Split] = field(default_factory=list)
    warmed_up: set[Split] = field(default_factory=set)
    """Splits run once; that run is not recorded, since it starts threads and loads code."""
    until_next_trial: int = SHORTEST_INTERVAL
    interval: int = SHORTEST_INTERVAL

    def fastest(self) -> Split:
        return min(self.seconds, key=self.seconds.__getitem__)

    def record(self, split: Split, seconds: float) -> None:
        if split not in self.warmed_up:
            self.warmed_up.add(split)
            return
        best = min(self.seconds.values(), default=seconds)
        if split in self.untried:
            self.untried.remove(split)
            # If none is faster, wait longer; if one is, the machine's load has changed: try soon.
            if seconds > best:
                self.interval = min(LONGEST_INTERVAL, 2 * self.interval)
            else:
                self.interval = SHORTEST_INTERVAL
        self.seconds[split] = seconds
        self.until_next_trial -= 1
        if self.until_next_trial <= 0 and not self.untried:
            fastest = self.fastest()
            self.untried = [other for other in self.seconds if other != fastest]
            self.until_next_trial = self.interval


class Autotuner:
    """Chooses a split for each kind of work. Safe for several threads at once."""

    def __init__(self) -> None:
        self._timings: dict[Hashable, _Timings] = {}
        self._lock = threading.Lock()

    def choose(self, kind: Hashable, splits: Sequence[Split], steps: int) -> tuple[Split, int]:
        """Return a split and how many steps to run with it; `splits` begin with the simplest."""
        if len(splits) == 1:
            return splits[0], steps
        with self._lock:
            timings = self._timings.setdefault(kind, _Timings(untried=list(splits[1:])))
            if not timings.seconds:
                return splits[0], steps
            fastest = timings.fastest()
            seconds = timings.seconds[fastest]
            if timings.untried and _is_measurable(steps, steps * seconds):
                enough = max(TRIAL_STEPS, round(TRIAL_SECONDS / seconds))
                return timings.untried[-1], min(steps, enough)
            return fastest, steps

    def record(self, kind: Hashable, split: Split, steps: int, seconds: float) -> None:
        """Record that `steps` steps of that kind of work took `seconds`."""
        if not _is_measurable(steps, seconds):
            return
        with self._lock:
            if kind in self._timings:
                self._timings[kind].record(split, seconds / steps)


def _is_measurable(steps: int, seconds: float) -> bool:
    """Whether the steps took long enough for overhead not to dominate their time."""
    return steps >= TRIAL_STEPS or seconds >= TRIAL_SECONDS
