"""The folder of a run, locked by the process that trains in it.

A run with `--overwrite` works in a draft beside the old model, and replaces it with the first save.
Everything here happens under the folder's lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rondel import artifact
from rondel.errors import InputError
from rondel.files import NewFolder, real_path, remove_drafts, settle
from rondel.locks import FolderLock
from rondel.training.interrupts import ended_by_signals


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise `InputError` if a folder is taken, unless by a model that may be overwritten."""
    artifact.lock(folder).check()
    _check_place(folder, overwrite)


def _check_place(folder: Path, overwrite: bool) -> None:
    if folder.exists() and Path.cwd().is_relative_to(real_path(folder)):
        raise InputError(f"{folder} is the folder you are in; name another --out")
    if not os.path.lexists(real_path(folder)):
        return
    if overwrite and artifact.is_model(folder):
        artifact.refuse_foreign(folder)
        return
    if artifact.is_model(folder):
        raise InputError(
            f"{folder} holds a model already; use --resume {folder} to go on with it, "
            "--overwrite to replace it, or another --out"
        )
    raise InputError(f"{folder} is there already and is no model; choose another --out")


class RunFolder:
    """A run's folder, from `create` or `reopen` to `close`."""

    def __init__(self, path: Path, lock: FolderLock, new: NewFolder | None = None) -> None:
        self.path = path
        """The run's final location."""
        self.is_published = new is None
        """Whether the run's files are at `path`."""
        self._lock, self._new = lock, new

    @property
    def place(self) -> Path:
        """Where its files are now: `path`, or a draft while the old model is still at `path`."""
        return self._new.draft if self._new else self.path

    def publish(self) -> None:
        """Replace the old model, unless that has happened already.

        Raises `InputError` if files were added to the old model's folder, which would be lost.
        """
        if self._new is not None:
            if self.path.exists():
                artifact.refuse_foreign(self.path)
            self._new.publish()
            self._new, self.is_published = None, True

    def close(self) -> None:
        """Release the lock. A run that was never published is removed."""
        if self._new is not None:
            self._new.discard()
            self._new = None
        self._lock.release()


@contextmanager
def create(path: Path, overwrite: bool) -> Iterator[RunFolder]:
    """Make a new run's folder, to be filled in the block; then it is moved to `path`, if free.

    If the block fails, the folder and the parents made for it are removed. Raises `InputError` if
    `path` is taken, by a folder or by another process.
    """
    missing = [parent for parent in real_path(path).parents if not parent.exists()]
    lock = artifact.lock(path).acquire()
    folder = RunFolder(path, lock)
    try:
        settle(real_path(path))
        _check_place(path, overwrite)
        folder = RunFolder(path, lock, NewFolder(path))
        with ended_by_signals():
            yield folder
            if not path.exists():
                folder.publish()
    except BaseException as error:
        folder.close()
        with suppress(OSError):
            for parent in missing:
                parent.rmdir()
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


@contextmanager
def reopen(path: Path) -> Iterator[RunFolder]:
    """Lock the folder of an existing run to continue it; release it if the block fails."""
    lock = artifact.lock(path)
    if path.parent.is_dir():
        lock.acquire()
        settle(real_path(path))
    folder = RunFolder(path, lock)
    try:
        yield folder
        for place in (path, path / "best"):
            remove_drafts(place)
    except BaseException:
        folder.close()
        raise
