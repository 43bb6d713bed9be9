"""One owner for a folder that is written over a long time: an advisory lock that a kill releases.

The lock is a hidden file beside the folder (`.NAME.lock` for `NAME`), so that it also covers a
folder that is not there yet or is being replaced. Who only reads never looks at it.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rondel.errors import InputError

if TYPE_CHECKING:
    from filelock import FileLock

ATTEMPTS = 10
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class FolderLock:
    """The lock of a folder; `with` takes it and releases it.

    Every spelling of a path (relative, through symbolic links) comes to the same lock, and so do
    two threads of one process. Over NFS it holds between machines as far as `flock` does there.
    """

    def __init__(self, folder: Path, shown: Path | None = None) -> None:
        resolved = Path(os.path.realpath(folder))
        parent = resolved.parent
        # A folder may be mounted where nothing can be written beside it: then its lock is inside.
        beside = not resolved.is_dir() or os.access(parent, os.W_OK)
        self._shown = shown or folder
        self._path = parent / f".{resolved.name}.lock" if beside else resolved / ".lock"
        self._lock: FileLock | None = None

    def acquire(self) -> FolderLock:
        """Take the lock, at once; taking it twice is taking it once.

        Raises `InputError` if another process or thread holds it, or if there can be no lock.
        """
        if self._lock is not None:
            return self
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        except OSError as error:
            raise self._impossible(error) from None
        with suppress(OSError):  # Windows lets nobody write to a locked file
            owner = {"process": os.getpid(), "since": time.time()}
            self._path.write_text(json.dumps(owner), encoding="utf-8")
        return self

    def check(self) -> None:
        """Raise `InputError` if another holds the lock; nothing is made where there is none."""
        if self._lock is None and os.path.lexists(self._path):
            with self:
                pass

    def release(self) -> None:
        """Let the lock go, and remove its file; nothing if it is not held."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        # Removed while it is held: whoever opened the file before finds it gone, and tries anew.
        with suppress(OSError):
            self._path.unlink()
        lock.release()

    def __enter__(self) -> FolderLock:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _locked(self) -> FileLock:
        from filelock import FileLock, Timeout

        lock = FileLock(self._path, timeout=0, thread_local=False, fallback_to_soft=False)
        for _ in range(ATTEMPTS):
            try:
                lock.acquire()
            except Timeout:
                if self._path.exists():
                    raise InputError(self._who_has_it()) from None
                # It was released just now, or no file can be made there.
                continue
            return lock
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _who_has_it(self) -> str:
        """The line for a second owner; without the first one's name while that is being written."""
        owner: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            owner = json.loads(self._path.read_text(encoding="utf-8"))
        who = ""
        if isinstance(owner, dict) and owner.keys() >= {"process", "since"}:
            since = time.localtime(owner["since"])
            today = since[:3] == time.localtime()[:3]
            clock = time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", since)
            who = f", since {clock}, process {owner['process']}"
        return (
            f"another rondel is training in {self._shown}{who}; wait until it ends, stop it, "
            "or choose another folder"
        )

    def _impossible(self, error: OSError) -> InputError:
        if error.errno in NO_LOCKS:
            return InputError(
                f"{self._shown} lies on a file system without locks ({error.strerror}), where "
                "nothing keeps two runs apart; choose a folder on another one"
            )
        return InputError(
            f"{self._shown} cannot be made or locked ({error.strerror}); "
            "name a place where you may write"
        )
