"""Threads that share out tasks: plain Python threads, for kernels run without the lock."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

Task = Callable[[], object]


class Team:
    """So many threads, of which the caller's is one. Numba's own would not bear two callers."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._others = ThreadPoolExecutor(threads - 1, "rondel") if threads > 1 else None

    def run(self, tasks: list[Task]) -> None:
        """Do all tasks, each by whichever thread is free; raises what one of them raises.

        A task is to keep what it writes to: an interrupt may leave it at work after this returns.
        """
        if self._others is None or len(tasks) == 1:
            for task in tasks:
                task()
            return
        numbers = itertools.count()

        def work() -> None:
            while (number := next(numbers)) < len(tasks):
                tasks[number]()

        futures = []
        try:
            for _ in range(min(self.threads, len(tasks)) - 1):
                futures.append(self._others.submit(work))
            work()
        except BaseException:
            # Interrupted: the others may be waiting for what this thread was to do.
            work()
            raise
        finally:
            for future in futures:
                future.result()


@cache
def _team(threads: int, process: int) -> Team:
    return Team(threads)


def team(threads: int) -> Team:
    """The process's team of so many threads."""
    return _team(threads, os.getpid())
