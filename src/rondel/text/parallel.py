"""Blocks of a text, worked on by several threads at a time, with what they give in order."""

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
"""Past so many, the disk and what is done in order set the pace."""


COMPILED_FROM = 1 << 20
"""Bytes of a block from which on kernels, which take a while to load, are worth it."""


def is_for_kernels(data: bytes) -> bool:
    """Whether a block of text is long enough for compiled kernels, and they can be used."""
    from rondel.kernels import usable

    return len(data) >= COMPILED_FROM and usable()


def workers() -> int:
    """How many threads to read with: one for each core that this process may use."""
    available = getattr(os, "sched_getaffinity", None)
    cores = len(available(0)) if available else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def in_order(
    make: Callable[[], Callable[[Block], Result]], blocks: Iterable[Block], threads: int = 0
) -> Generator[Result, None, None]:
    """What a function gives for every block, in order, with a few blocks under way at a time.

    Each thread has a function of its own from `make`. It gains what the function does without the
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
