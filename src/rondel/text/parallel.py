"""Processing the blocks of a text in several threads, with the results in order."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Block = TypeVar("Block")
Result = TypeVar("Result")

MOST_WORKERS = 8
"""More threads are not faster: the disk and the sequential work are the limit."""

COMPILED_FROM = 1 << 20
"""The size in bytes from which a block is worth loading compiled kernels for."""


def is_for_kernels(data: bytes) -> bool:
    """Return whether a block of text is long enough for compiled kernels, and they are usable."""
    from rondel.kernels import usable

    return len(data) >= COMPILED_FROM and usable()


def workers() -> int:
    """Return how many threads to use: one for each core that this process may use, at most 8."""
    available = getattr(os, "sched_getaffinity", None)
    cores = len(available(0)) if available else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def in_order(
    make: Callable[[], Callable[[Block], Result]], blocks: Iterable[Block], threads: int = 0
) -> Generator[Result, None, None]:
    """Apply a function to every block, a few at a time in threads; yield the results in order.

    `make` makes the function for each thread. It is faster as far as the function releases the
    interpreter's lock.
    """
    count = threads or workers()
    upcoming = iter(blocks)
    first = list(itertools.islice(upcoming, 2))
    if count == 1 or len(first) < 2:
        yield from map(make(), itertools.chain(first, upcoming))
        return
    idle = [make() for _ in range(count)]

    def work(block: Block) -> Result:
        function = idle.pop()
        try:
            return function(block)
        finally:
            idle.append(function)

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count, "rondel-reading") as pool:
        try:
            for block in itertools.chain(first, upcoming):
                waiting.append(pool.submit(work, block))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
