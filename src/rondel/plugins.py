"""What other installed packages add: their entry points in groups such as `rondel.cells`."""

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
    """The entry points of a group, in order of name."""
    if not _are_any(tuple(sys.path)):
        return []
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda entry: entry.name)


@functools.cache
def _are_any(path: tuple[str, ...]) -> bool:
    """Whether a package on the path adds anything.

    Asked first because `importlib.metadata` takes 50 ms to say no, half of what a command may take
    to begin: it reads every file that this looks through.
    """
    folders = (Path(entry) for entry in path)
    return any(
        GROUP in file.read_bytes()
        for folder in folders
        if folder.is_dir()
        for pattern in FILES
        for file in folder.glob(pattern)
    )
