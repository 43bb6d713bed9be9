"""What the machine can do: the speed of its arithmetic and of reading its memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def matmul_peak(threads: int, size: int, seconds: float) -> float:
    """GFLOP/s of large square matmuls in single precision: the fastest of those made."""
    torch.set_num_threads(threads)
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    return 2 * size**3 / _shortest(lambda: torch.mm(a, b, out=out), seconds) / 1e9


def read_bandwidth(size_in_bytes: int, threads: int, seconds: float) -> float:
    """GB/s of reading an array of this size, over and over, in the fastest of three ways."""
    torch.set_num_threads(threads)
    columns = 1024
    rows = max(1, size_in_bytes // (4 * columns))
    # Random numbers: pages of zeros are all one page, which is read from the nearest cache.
    matrix, vector = torch.randn(rows, columns), torch.randn(columns)
    flat, out = matrix.view(-1), torch.empty(rows)
    ways = (
        lambda: torch.mv(matrix, vector, out=out),
        lambda: torch.dot(flat, flat),
        lambda: matrix.sum(),
    )
    return max(4 * rows * columns / _shortest(way, seconds / 3) for way in ways) / 1e9


def _shortest(work: Callable[[], object], seconds: float) -> float:
    """The time of the fastest of the calls that fit into so many seconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)
