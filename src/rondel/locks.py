"""Advisory locks of folders, held while a process writes to them and released if it is killed.

The lock is a hidden file beside the folder (`.NAME.lock` for `NAME`), so that it also covers a
folder that does not exist yet or is being replaced. Readers do not use it.
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
    """The lock of a folder; `with` acquires and releases it.

    Every spelling of a path (relative, through symbolic links) gives the same lock. It excludes
    other threads of the process too. Over NFS it works between machines if `flock` does there.
    """

    def __init__(self, folder: Path, shown: Path | None = None, doing: str = "training in") -> None:
        resolved = Path(os.path.realpath(folder))
        parent = resolved.parent
        # If the parent is not writable, as for a mounted folder, the lock is inside.
        beside = not resolved.is_dir() or os.access(parent, os.W_OK)
        self._shown, self._doing = shown or folder, doing
        self._path = parent / f".{resolved.name}.lock" if beside else resolved / ".lock"
        self._lock: FileLock | None = None

    def acquire(self) -> FolderLock:
        """Acquire the lock without waiting; no effect if this object holds it.

        Raises `InputError` if another process or thread holds it, or if it cannot be made.
        """
        if self._lock is not None:
            return self
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._acquired()
        except OSError as error:
            raise self._cannot_lock(error) from None
        with suppress(OSError):  # Windows forbids writing to a locked file
            owner = {"process": os.getpid(), "since": time.time()}
            self._path.write_text(json.dumps(owner), encoding="utf-8")
        return self

    def check(self) -> None:
        """Raise `InputError` if another holder has the lock; makes no lock file."""
        if self._lock is None and os.path.lexists(self._path):
            with self:
                pass

    def release(self) -> None:
        """Release the lock and remove its file; no effect if it is not held."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        # Removed while held, so that a process that has opened the file sees this and retries.
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

    def _acquired(self) -> FileLock:
        from filelock import FileLock, Timeout

        lock = FileLock(self._path, timeout=0, thread_local=False, fallback_to_soft=False)
        for _ in range(ATTEMPTS):
            try:
                lock.acquire()
            except Timeout:
                if self._path.exists():
                    raise InputError(self._holder_message()) from None
                # It was just released, or no file can be made there.
                continue
            return lock
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _holder_message(self) -> str:
        """The error message that names the holder, unless it has not written its name yet."""
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
            f"another rondel is {self._doing} {self._shown}{who}; wait until it ends, stop it, "
            "or choose another folder"
        )

    def _cannot_lock(self, error: OSError) -> InputError:
        if error.errno in NO_LOCKS:
            return InputError(
                f"{self._shown} is on a file system without locks ({error.strerror}), where "
                "two runs could overwrite each other; choose a folder on another one"
            )
        return InputError(
            f"{self._shown} cannot be made or locked ({error.strerror}); "
            "name a place where you may write"
        )
