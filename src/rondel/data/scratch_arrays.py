"""Arrays of whole numbers that may be larger than memory: long ones lie in files without names."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from rondel.data.store import Ids

IN_MEMORY = 1 << 20
"""Numbers of an array that is held in memory."""
BLOCK = 1 << 20
"""Numbers that are written at a time."""


def scratch_array(count: int, largest: int, folder: Path | None = None) -> Ids:
    """An array (count,) of zeros, of the smallest type that holds `largest`.

    A long one is a memory map of a file in `folder`, or where files for a while go if nothing can
    be written there. The file has no name, and is gone with the array, even of a killed process.
    Raises `OSError` if the disk is full.
    """
    dtype = np.min_scalar_type(largest)
    if count <= IN_MEMORY:
        return np.zeros(count, dtype)
    try:
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the map holds it)
    except OSError:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    with file:
        if hasattr(os, "posix_fallocate"):  # a full disk is known now, not as a map is written to
            os.posix_fallocate(file.fileno(), 0, count * dtype.itemsize)
        # As an ordinary array, which is what `Generator.shuffle` is fast with.
        return np.asarray(np.memmap(file, dtype, "w+", shape=(count,)))


def folder_of(array: Ids) -> Path | None:
    """The folder of the file that an array is a memory map of; `None` if it is none."""
    name = getattr(array, "filename", None)
    return Path(name).parent if name else None


def shuffled(count: int, draw: np.random.Generator, folder: Path | None = None) -> Ids:
    """The numbers below `count` in a drawn order, as `draw.permutation(count)` has them."""
    numbers = scratch_array(count, max(count - 1, 0), folder)
    for begin in range(0, count, BLOCK):
        numbers[begin : begin + BLOCK] = np.arange(begin, min(begin + BLOCK, count))
    draw.shuffle(numbers)
    return numbers
