"""The files that a source names, and reading them in blocks, decompressed."""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import itertools
import lzma
import os
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rondel.errors import InputError
from rondel.files import refuse_device

STDIN = "-"
BLOCK = 1 << 22
"""Bytes read at a time."""
PACKED = 1 << 17
"""Bytes of an archive decompressed at a time."""
Seen = Callable[[int], None]
"""Called with how many bytes of a file were read."""
DAMAGE = (
    EOFError,
    ValueError,
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)
"""What libraries raise for a damaged archive, besides `OSError`."""


@dataclass(frozen=True)
class SourceFile:
    """A file to read, or standard input."""

    name: str
    """Its name in messages."""
    path: str | None
    """None for standard input."""

    @property
    def suffix(self) -> str:
        """The suffix of its name, in lower case."""
        return Path(self.path or "").suffix.lower()

    @property
    def kind(self) -> str:
        """The suffix of its name without that of a compression, in lower case."""
        path = Path((self.path or "").lower())
        return (path.with_suffix("") if path.suffix in OPENERS else path).suffix

    @property
    def is_plain(self) -> bool:
        """Whether it is a regular, uncompressed file, which can be read again at any place."""
        return self.path is not None and self.suffix not in OPENERS and os.path.isfile(self.path)  # noqa: PTH113

    @property
    def size(self) -> int:
        """Its size in bytes on disk; 0 if that is not known."""
        return os.stat(self.path).st_size if self.path and os.path.isfile(self.path) else 0  # noqa: PTH113, PTH116

    def blocks(self, size: int = BLOCK, watch: Seen | None = None) -> Iterator[bytes]:
        """Yield its bytes, decompressed, in blocks of `size`; the last may be shorter.

        `watch` is called with how many bytes of the file were read. Raises `InputError` if it
        cannot be read, or is a damaged archive.
        """
        opener = OPENERS.get(self.suffix) if self.path is not None else None
        with self.open() as raw:
            try:
                for block in _blocks_of(opener(raw) if opener else raw, size):
                    if watch is not None and self.size:
                        watch(raw.tell())
                    yield block
            except (OSError, *DAMAGE) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise unreadable(self.name, error) from None
                raise InputError(
                    f"{self.name} is a damaged or truncated archive ({error}); "
                    "get a whole copy of it"
                ) from None

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file without decompressing it; `InputError` if it cannot be opened."""
        if self.path is None:
            yield _standard_input()  # not closed
            return
        refuse_device(self.path)
        try:
            file = Path(self.path).open("rb")  # noqa: SIM115
        except FileNotFoundError:
            raise InputError(
                f"{self.name}: there is no such file or folder; check the name"
            ) from None
        except OSError as error:
            raise unreadable(self.name, error) from None
        with file:
            yield file


def _blocks_of(file: Any, size: int) -> Iterator[bytes]:
    while True:
        parts, missing = [], size
        while missing and (part := file.read(missing)):  # a pipe may return less than asked for
            parts.append(part)
            missing -= len(part)
        if parts:
            yield parts[0] if len(parts) == 1 else b"".join(parts)
        if missing:
            return


def _standard_input() -> IO[bytes]:
    try:
        with suppress(io.UnsupportedOperation):  # it may not have a file descriptor
            refuse_device(sys.stdin.fileno(), "standard input")
        stream = sys.stdin.buffer
        stream.readable()  # raises ValueError if it is closed
        return stream
    except (AttributeError, ValueError):  # it is None or closed if a process was started without
        raise InputError("there is no standard input to read; name a file instead of -") from None
    except OSError as error:
        raise unreadable("standard input", error) from None


class ZstdFrames(io.RawIOBase):
    """A stream of the contents of Zstandard frames; `EOFError` if the last one is incomplete."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._ready = raw, b""
        self._parts = self._decompressed()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return how many bytes, 0 at the end."""
        while not self._ready:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._ready = part
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _decompressed(self) -> Iterator[bytes]:
        import zstandard

        data = self._raw.read(PACKED)
        while data:
            frame = zstandard.ZstdDecompressor().decompressobj()
            while not frame.eof:
                if not data:
                    raise EOFError("it ends in the middle of a frame")
                try:
                    yield frame.decompress(data)
                except zstandard.ZstdError as error:
                    raise ValueError(str(error)) from None
                data = b"" if frame.eof else self._raw.read(PACKED)
            data = frame.unused_data or self._raw.read(PACKED)


OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".gz": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".lzma": lzma.LZMAFile,
    ".zst": lambda raw: io.BufferedReader(ZstdFrames(raw), BLOCK),
}


def files_of(source: str) -> list[SourceFile]:
    """Return the files of one source, in order; `InputError` if a folder or glob has none."""
    if not source:
        raise InputError("a text has an empty name; name a file, a folder, or - for standard input")
    if source == STDIN:
        return [SourceFile("standard input", None)]
    if is_folder(source):
        paths, nothing = _files_below(source), "no file that is not hidden"
    elif is_glob(source):
        # pathlib's glob also finds hidden files, and does not accept absolute patterns.
        matches = glob.glob(source, recursive=True)  # noqa: PTH207
        paths = sorted(filter(os.path.isfile, matches))
        nothing = "no file that matches"
    else:
        return [SourceFile(source, source)]
    if not paths:
        raise InputError(f"{source}: there is {nothing}; name a file or a folder that holds text")
    return [SourceFile(path, path) for path in paths]


def is_folder(source: str) -> bool:
    """Return whether a source is a folder."""
    return os.path.isdir(source)  # noqa: PTH112 (pathlib's raises PermissionError)


def is_glob(source: str) -> bool:
    """Return whether a source is a glob, and not a file with `[` or `*` in its name."""
    return glob.has_magic(source) and not os.path.lexists(source)


def source_name(sources: Sequence[str]) -> str:
    """Return a short name for a run on `sources`, for its folder: "book" for "books/book.txt.gz".

    For a folder it is its name, for a glob that of the folder it starts in, for `-` "stdin"; for
    several sources that of the first, and how many more there are.
    """
    first = sources[0]
    if first == STDIN:
        name = "stdin"
    elif is_folder(first):
        name = Path(first).resolve().name
    elif is_glob(first):
        fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(first).parts)
        name = Path(*fixed).resolve().name
    else:
        path = Path(first)
        name = (path.with_suffix("") if path.suffix.lower() in OPENERS else path).stem
    name = re.sub(r"[^\w.-]+", "-", name).strip("-._")[:60] or "text"
    return name if len(sources) == 1 else f"{name}-and-{len(sources) - 1}-more"


def unreadable(name: str, error: OSError) -> InputError:
    """Return the error for a file that the system refuses to read."""
    return InputError(f"{name} cannot be read ({error.strerror}); check its permissions")


def _files_below(folder: str) -> list[str]:
    """Return every regular file below `folder` that is not hidden, in order of path."""

    def refuse(error: OSError) -> None:
        raise unreadable(str(error.filename), error)

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    in_order = sorted(found, key=lambda path: path.parts)
    return [str(path) for path in filter(os.path.isfile, in_order)]
