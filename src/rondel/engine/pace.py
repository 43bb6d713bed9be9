"""How work is best shared out among threads, as the machine at hand and its other work have it."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

# Pieces of work from one look at the other ways to the next; each look in vain doubles it.
FEWEST, MOST = 4, 512
# What a look takes: so many steps at the least, and so long, so that waking a
# thread counts for little; unless there is less to do at a time.
STEPS_A_LOOK, SECONDS_A_LOOK = 32, 0.004


class Sharing(NamedTuple):
    """`blocks` of rows that do not wait for each other, or `members` that share out the units."""

    blocks: int
    members: int


ALONE = Sharing(1, 1)
_members_at_work = threading.Lock()


@contextmanager
def gathered(way: Sharing) -> Iterator[Sharing]:
    """The way that can be gone now: members of two runs in one team could wait for each other."""
    if way.members == 1:
        yield way
    elif _members_at_work.acquire(blocking=False):
        try:
            yield way
        finally:
            _members_at_work.release()
    else:
        yield ALONE


@dataclass
class _Watch:
    seconds: dict[Sharing, float] = field(default_factory=dict)
    """Of a unit of work, when it was last measured."""
    untried: list[Sharing] = field(default_factory=list)
    begun: set[Sharing] = field(default_factory=set)
    """Gone once, which says little: threads were started, and code was loaded."""
    until_next_look: int = FEWEST
    interval: int = FEWEST


class Pace:
    """Takes the way of sharing that was the fastest lately; what is computed does not depend on it.

    Two threads beside a busy process can be slower than one, and nothing but time tells.
    """

    def __init__(self) -> None:
        self._watches: dict[Hashable, _Watch] = {}
        self._lock = threading.Lock()

    def choose(self, kind: Hashable, ways: Sequence[Sharing], steps: int) -> tuple[Sharing, int]:
        """One of the ways for some kind of work, the plainest of which is first; how many steps."""
        if len(ways) == 1:
            return ways[0], steps
        with self._lock:
            watch = self._watches.setdefault(kind, _Watch(untried=list(ways[1:])))
            if not watch.seconds:
                return ways[0], steps
            fastest = min(watch.seconds, key=watch.seconds.__getitem__)
            if watch.untried and _tells(steps, steps * watch.seconds[fastest]):
                enough = max(STEPS_A_LOOK, round(SECONDS_A_LOOK / watch.seconds[fastest]))
                return watch.untried[-1], min(steps, enough)
            return fastest, steps

    def note(self, kind: Hashable, way: Sharing, steps: int, seconds: float) -> None:
        """Take note of how long so many steps of that work took."""
        if not _tells(steps, seconds):
            return
        with self._lock:
            if kind in self._watches:
                self._note(self._watches[kind], way, seconds / steps)

    def _note(self, watch: _Watch, way: Sharing, seconds: float) -> None:
        if way not in watch.begun:
            watch.begun.add(way)
            return
        best = min(watch.seconds.values(), default=seconds)
        if way in watch.untried:
            watch.untried.remove(way)
            # Nothing found: the next look can wait longer. The machine has changed: look sooner.
            watch.interval = min(MOST, 2 * watch.interval) if seconds > best else FEWEST
        watch.seconds[way] = seconds
        watch.until_next_look -= 1
        if watch.until_next_look <= 0 and not watch.untried:
            fastest = min(watch.seconds, key=watch.seconds.__getitem__)
            watch.untried = [other for other in watch.seconds if other != fastest]
            watch.until_next_look = watch.interval


def _tells(steps: int, seconds: float) -> bool:
    """Whether what so many steps took says more about them than about what goes with them."""
    return steps >= STEPS_A_LOOK or seconds >= SECONDS_A_LOOK
