"""The folder of a run: one process's own while it trains, and an old model's until there is more.

A run with `--overwrite` works in a draft beside the model that it is to replace, and takes its
place with the first save. Everything here happens under the folder's lock.
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


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that is taken, unless it holds a model that may be overwritten."""
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
    """A run's folder, from `create` or `take_up` to `close`."""

    def __init__(self, path: Path, lock: FolderLock, new: NewFolder | None = None) -> None:
        self.path = path
        """Where the run was asked to be."""
        self.is_published = new is None
        """Whether the run is what stands at `path`."""
        self._lock, self._new = lock, new

    @property
    def place(self) -> Path:
        """Where its files are: at `path`, or in a draft as long as an old model stands there."""
        return self._new.draft if self._new else self.path

    def publish(self) -> None:
        """Take the place of the old model, if that has not happened yet.

        Raises `InputError` if something was put beside the old model that would be lost.
        """
        if self._new is not None:
            if self.path.exists():
                artifact.refuse_foreign(self.path)
            self._new.publish()
            self._new, self.is_published = None, True

    def close(self) -> None:
        """Let the folder go. A run that was never published leaves no trace."""
        if self._new is not None:
            self._new.discard()
            self._new = None
        self._lock.release()


@contextmanager
def create(path: Path, overwrite: bool) -> Iterator[RunFolder]:
    """A new run's folder to fill; it stands at `path` as the block ends, if nothing stood there.

    Nothing is left of it if the block fails, nor of folders above it that were made for it. Raises
    `InputError` if `path` is taken, by a folder or by another process.
    """
    missing = [parent for parent in real_path(path).parents if not parent.exists()]
    lock = artifact.lock(path).acquire()
    folder = RunFolder(path, lock)
    try:
        settle(real_path(path))
        _check_place(path, overwrite)
        folder = RunFolder(path, lock, NewFolder(path))
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
def take_up(path: Path) -> Iterator[RunFolder]:
    """The folder of a run that is there, to go on with; let go if the block fails."""
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
