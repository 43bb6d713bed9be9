"""Writing files so that a reader, or a process killed at any moment, never meets half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rondel.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one move: there is the old file, or the whole new one.

    Raises `OSError` (a full disk, say) with the old file as it was and nothing left behind.
    """
    # The name is fixed, so that what a killed process left is overwritten by the next write.
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a failed write names no file, a failed rename the draft
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under another name; it takes the name `path` when the block ends well.

    If the block fails, nothing is left. A folder that stood at `path` is replaced.
    Raises `InputError` if there can be no folder at `path`.
    """
    path = path.resolve()  # "." has no name
    draft, old = path.with_name(f".{path.name}.draft"), path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():  # killed between the two renames below
        old.rename(path)
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be made ({error.strerror}); name a place where you may write"
        ) from None
    try:
        yield draft
        if path.exists():
            path.rename(old)
        draft.rename(path)
    except BaseException as error:
        shutil.rmtree(draft, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
