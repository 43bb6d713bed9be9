"""Entry points of other installed packages, in groups such as `rondel.cells`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FILES = ("*.dist-info/entry_points.txt", "*.egg-info/entry_points.txt")
GROUP = b"[rondel."


def entry_points_of(group: str) -> list[EntryPoint]:
    """The entry points of a group, sorted by name."""
    if not _has_entry_points(tuple(sys.path)):
        return []
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda entry: entry.name)


@functools.cache
def _has_entry_points(path: tuple[str, ...]) -> bool:
    """Whether any package on the path has entry points in a group of rondel.

    Checked first because `importlib.metadata` takes 50 ms to find none, half of the time that a
    command may take to start.
    """
    folders = (Path(entry) for entry in path)
    return any(
        GROUP in file.read_bytes()
        for folder in folders
        if folder.is_dir()
        for pattern in FILES
        for file in folder.glob(pattern)
    )
