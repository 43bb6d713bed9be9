"""Write files and folders atomically: readers never see a half-written one, even after a kill."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rondel.errors import InputError

# A draft file older than this, in seconds, was left by a killed process.
STALE = 3600.0
DRAFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.draft", re.DOTALL)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at `path` atomically.

    Raises `OSError`, such as for a full disk, and then leaves the old file unchanged.
    """
    draft = _draft(path)
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        remove_drafts(path.parent, path.name, older_than=STALE)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # instead of none, or the draft's
        raise


def sum_of_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            total.update(chunk)
    return total.hexdigest()


def refuse_device(source: str | Path | int, name: str = "") -> None:
    """Raise `InputError` if `source` (a path or file descriptor) is a device without an end.

    Pipes, terminals and the null device are accepted, and what cannot be inspected.
    """
    with suppress(OSError):
        status = os.stat(source)  # noqa: PTH116 (pathlib's takes no file descriptor)
        is_device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
        is_null = os.path.samestat(status, Path(os.devnull).stat())
        if is_device and not is_null and not _is_terminal(source):
            raise InputError(f"{name or source} is a device, which has no end; name a file")


def _is_terminal(source: str | Path | int) -> bool:
    if isinstance(source, int):
        return os.isatty(source)
    opened = os.open(source, os.O_RDONLY | getattr(os, "O_NOCTTY", 0))
    try:
        return os.isatty(opened)
    finally:
        os.close(opened)


class NewFolder:
    """A draft folder beside `path`, which `publish` moves there or `discard` removes.

    Leftovers of killed processes are removed first, so the caller must be the only writer (see
    `rondel.locks`). Raises `InputError` if the draft cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = real_path(path)  # "." has no name
        self.draft = _draft(self.path)
        settle(self.path)
        try:
            self.draft.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"{path} cannot be made ({error.strerror}); name a place where you may write"
            ) from None

    def publish(self) -> None:
        """Move the draft to `path`, replacing a folder there."""
        if self.path.exists():
            self.path.rename(_old(self.path))
        self.draft.rename(self.path)
        shutil.rmtree(_old(self.path), ignore_errors=True)

    def discard(self) -> None:
        """Remove the draft and restore a folder that was being replaced."""
        shutil.rmtree(self.draft, ignore_errors=True)
        settle(self.path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a draft folder to fill, moved to `path` at the end of the block.

    A folder at `path` is replaced. If the block fails, the draft is removed. Raises `InputError` if
    the draft cannot be made. See `NewFolder`.
    """
    folder = NewFolder(path)
    try:
        yield folder.draft
        folder.publish()
    except BaseException as error:
        folder.discard()
        if isinstance(error, OSError):
            error.filename = str(folder.path)
        raise


def real_path(path: Path) -> Path:
    """Resolve symbolic links; a loop of them is kept, where `Path.resolve` raises."""
    return Path(os.path.realpath(path))


def settle(path: Path) -> None:
    """Clean up after a process killed while it replaced the folder `path`."""
    old = _old(path)
    if old.exists() and not path.exists():  # killed between the two renames of `publish`
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    remove_drafts(path.parent, path.name)


def remove_drafts(folder: Path, name: str | None = None, older_than: float = 0.0) -> None:
    """Remove the drafts in a folder (of `name`, if given) older than so many seconds.

    Drafts of any age may be removed only if nobody else is writing.
    """
    latest = time.time() - older_than
    with suppress(OSError):
        for path in list(folder.iterdir()):
            draft = DRAFT.fullmatch(path.name)
            if draft and name in (None, draft["name"]) and path.lstat().st_mtime <= latest:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    """A unique name beside `path`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
