"""Choose how to split work among threads by measuring: the fastest split of late is used.

Two threads beside a busy process can be slower than one, and only a measurement shows it. What is
computed does not depend on the split.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

# Measurements from one trial of the other splits to the next; doubled by each trial in vain.
SHORTEST_INTERVAL, LONGEST_INTERVAL = 4, 512
# A trial has at least this many steps and lasts at least this long, so that waking a thread counts
# for little; unless the caller has less to do at a time.
TRIAL_STEPS, TRIAL_SECONDS = 32, 0.004


class Split(NamedTuple):
    """`blocks` of rows, independent of each other, or `workers` that share out the units."""

    blocks: int
    workers: int


ALONE = Split(1, 1)
_workers_running = threading.Lock()


@contextmanager
def acquired(split: Split) -> Iterator[Split]:
    """Yield `split`, or `ALONE` while another run's workers use the team.

    Workers wait for each other: those of two runs in one team could wait for ever.
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
    """What is known of one kind of work."""

    seconds: dict[Split, float] = field(default_factory=dict)
    """Of one step, when it was last measured."""
    untried: list[Split] = field(default_factory=list)
    warmed_up: set[Split] = field(default_factory=set)
    """Run once; not counted, since threads were started and code was loaded."""
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
            # In vain: the next trial can wait longer. The machine has changed: try again sooner.
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
        """Return one of the splits, the simplest of which is first, and how many steps to run."""
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
        """Record how long so many steps of that kind of work took."""
        if not _is_measurable(steps, seconds):
            return
        with self._lock:
            if kind in self._timings:
                self._timings[kind].record(split, seconds / steps)


def _is_measurable(steps: int, seconds: float) -> bool:
    """Whether the time of so many steps says more about them than about the overhead."""
    return steps >= TRIAL_STEPS or seconds >= TRIAL_SECONDS
