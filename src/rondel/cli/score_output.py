"""Where `rondel score` writes: standard output, or a file that it can go on with later.

Beside an unfinished `FILE` lies `FILE.resume`: how far it goes, and what it is made of.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

import click

from rondel.errors import InputError
from rondel.files import write_atomically
from rondel.folder_files import checksum
from rondel.locks import FolderLock

SAVED_EVERY = 10.0
"""Seconds after which a point is saved, for a process that is killed outright."""
READ_AT_A_TIME = 1 << 20
FORMAT = 1


MakePoint = Callable[[], dict[str, Any]]
"""Says how to go on, as JSON values; empty for the beginning."""


class Output(Protocol):
    """Takes a table in parts."""

    point: dict[str, Any] | None
    """Where to go on, as JSON values; `None` for the beginning."""

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write whole lines, and let them be seen."""

    def mark(self, point: MakePoint) -> None:
        """Note that what was written so far is up to a point."""


class StandardOutput:
    """Writes to standard output, whole lines even if it is interrupted."""

    point: dict[str, Any] | None = None

    def write(self, pieces: Iterable[bytes]) -> None:
        """See `Output`."""
        with _interrupted_later():
            for piece in pieces:
                click.echo(piece, nl=False)
            sys.stdout.flush()

    def mark(self, point: MakePoint) -> None:
        """See `Output`."""


class FileOutput:
    """Writes to a file. Stopped, it leaves whole lines, and beside them how to go on.

    `parts` are the sums of what the file is made of, by what they are called in messages. If the
    file is `resumed`, `point` is where. Raises `InputError` for a file that is there already,
    unless it is to `overwrite`, and for one to be resumed that is of other parts, changed, or not
    there.

    ::

        with FileOutput(path, {"text": …, "model": …}, resumed=False) as output:
            output.write(pieces)
            output.mark(point)
    """

    def __init__(
        self, path: Path, parts: dict[str, str], *, resumed: bool, overwrite: bool = False
    ) -> None:
        self._path, self._parts = path, parts
        self._mode = "r+b" if resumed else "wb" if overwrite else "xb"
        self._state_path = state_of(path)
        self._lock = FolderLock(path, doing="writing")
        self._sum, self._size = hashlib.blake2b(), 0
        self.point: dict[str, Any] | None = None
        self._lock.acquire()
        try:
            if resumed:
                self._resume()
            elif not overwrite:
                refuse_existing(path)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> FileOutput:
        self._file = self._path.open(self._mode)
        self._file.truncate(self._size)
        self._file.seek(self._size)
        self._marked: tuple[int, str, MakePoint] = (
            self._size,
            self._sum.hexdigest(),
            lambda: self.point or {},
        )
        self._saved_at = time.monotonic()
        self._before = _raise_at_sigterm()
        if self.point is None:
            self._save()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._file as file:
                if error is not None:
                    file.truncate(self._marked[0])
            if error is None:
                self._state_path.unlink()
            else:
                with suppress(OSError):  # such as of a full disk; an earlier state is there
                    self._save()
                click.echo(
                    f"rondel: {self._path} is unfinished; the same command goes on with "
                    "--resume-from in place of --out",
                    err=True,
                )
        finally:
            self._lock.release()
            if self._before is not None:
                signal.signal(signal.SIGTERM, self._before)

    def write(self, pieces: Iterable[bytes]) -> None:
        """See `Output`."""
        for piece in pieces:
            self._file.write(piece)
            self._sum.update(piece)
            self._size += len(piece)
        self._file.flush()

    def mark(self, point: MakePoint) -> None:
        """See `Output`."""
        self._marked = self._size, self._sum.hexdigest(), point
        if time.monotonic() - self._saved_at > SAVED_EVERY:
            os.fsync(self._file.fileno())
            self._save()

    def _save(self) -> None:
        size, digest, point = self._marked
        values = {
            "format": FORMAT,
            "parts": self._parts,
            "size": size,
            "sum": digest,
            "point": point(),
        }
        values["whole"] = checksum(values)
        write_atomically(self._state_path, json.dumps(values).encode())
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        if not self._path.is_file():
            raise InputError(f"{self._path}: there is no such file to go on with; start with --out")
        if not self._state_path.is_file():
            raise InputError(
                f"{self._path} is finished, or was moved away from {self._state_path.name}; "
                "score anew with --out"
            )
        state = _read_state(self._state_path)
        for name, digest in self._parts.items():
            if state["parts"].get(name) != digest:
                raise InputError(
                    f"{self._path} was begun with {name}; give the same as then, or score anew "
                    "with --out"
                )
        with self._path.open("rb") as file:
            while self._size < state["size"]:
                block = file.read(min(READ_AT_A_TIME, state["size"] - self._size))
                if not block:
                    break
                self._sum.update(block)
                self._size += len(block)
        if (self._size, self._sum.hexdigest()) != (state["size"], state["sum"]):
            raise InputError(f"{self._path} was changed after it was written; score anew")
        self.point = state["point"]


def refuse_existing(path: Path) -> None:
    """Raise `InputError` if a file to be written is there already."""
    if state_of(path).exists() and path.exists():
        raise InputError(
            f"{path} is unfinished: go on with --resume-from in place of --out, or begin anew with "
            "--overwrite"
        )
    if os.path.lexists(path):
        raise InputError(
            f"{path} is there already; name another --out, or replace it with --overwrite"
        )


def state_of(path: Path) -> Path:
    """Where the state of an unfinished file lies."""
    return path.with_name(f"{path.name}.resume")


def _read_state(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        if values.pop("whole") != checksum(values) or values["format"] != FORMAT:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path} is damaged; score anew with --out") from None
    return values


def _raise_at_sigterm() -> Any:
    """Let SIGTERM end the process as Ctrl-C does; what it did before, if it could be changed."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    return signal.signal(signal.SIGTERM, stop)


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the block's end; a second one does not wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def catch(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt
