"""Teams of Python threads that run tasks in parallel: kernels release the interpreter lock."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

Task = Callable[[], object]


class Team:
    """A number of threads, the caller's included. Numba's pool does not support two callers."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._others = ThreadPoolExecutor(threads - 1, "rondel") if threads > 1 else None

    def run(self, tasks: list[Task]) -> None:
        """Run all tasks, each on whichever thread is free; raises what a task raises.

        A task must hold the arrays it writes: after an interrupt it may run on when this returns.
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
            # Interrupted: other workers may be waiting at a barrier for this thread's tasks.
            work()
            raise
        finally:
            for future in futures:
                future.result()


@cache
def _team(threads: int, process: int) -> Team:
    return Team(threads)


def team(threads: int) -> Team:
    """Return this process's team of `threads` threads."""
    return _team(threads, os.getpid())
