"""Writing files so that a reader, or a process killed at any moment, never meets half of one."""

from __future__ import annotations

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

# A draft of a single file that is older than this, in seconds, is what a killed process left.
STALE = 3600.0
DRAFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.draft", re.DOTALL)


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one move: there is the old file, or the whole new one.

    Raises `OSError` (a full disk, say) with the old file as it was and nothing left behind.
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
            error.filename = str(path)  # a failed write names no file, a failed rename the draft
        raise


def refuse_device(source: str | Path | int, name: str = "") -> None:
    """Raise `InputError` if `source` (a path, or an open file's number) is a device without an end.

    A pipe, a terminal and the null device end. What cannot be looked at is left to who reads it.
    """
    with suppress(OSError):
        status = os.stat(source)  # noqa: PTH116 (pathlib's takes no number)
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
    """A folder filled in a draft beside `path`, which `publish` moves there or `discard` removes.

    What a killed process left of earlier ones is settled first, so the caller must be the only
    one that makes a folder at `path` (see `rondel.locks`). Raises `InputError` if there can be
    none.
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
        """Move the draft to its place; a folder that stood there is replaced."""
        if self.path.exists():
            self.path.rename(_old(self.path))
        self.draft.rename(self.path)
        shutil.rmtree(_old(self.path), ignore_errors=True)

    def discard(self) -> None:
        """Remove the draft; what stood in its place stands there again."""
        shutil.rmtree(self.draft, ignore_errors=True)
        settle(self.path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under another name; it takes the name `path` when the block ends well.

    If the block fails, nothing is left. A folder that stood at `path` is replaced.
    Raises `InputError` if there can be no folder at `path`. See `NewFolder`.
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
    """A path without symbolic links; one in a loop of them stays, where `Path.resolve` raises."""
    return Path(os.path.realpath(path))


def settle(path: Path) -> None:
    """Undo what a process killed while it replaced the folder `path` left half done."""
    old = _old(path)
    if old.exists() and not path.exists():  # killed between the two renames of `publish`
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)
    remove_drafts(path.parent, path.name)


def remove_drafts(folder: Path, name: str | None = None, older_than: float = 0.0) -> None:
    """Remove the drafts in a folder (of `name`, if given), at least so many seconds old.

    Of any age only where nobody else is writing.
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
    """A name beside `path` that nobody else has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
