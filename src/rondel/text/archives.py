"""Archives of texts: the files in a zip or tar, opened one after another in their order."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from rondel.errors import InputError
from rondel.text.source_files import DAMAGE, SourceFile

ZIPS = (".zip",)
TARS = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tbz2", ".txz")


@dataclass(frozen=True)
class Member(SourceFile):
    """A file in an archive, to be read before the next one is taken."""

    stream: Any = field(default=None, compare=False)

    @property
    def is_plain(self) -> bool:
        """False: it is not a file that can be read again at any place."""
        return False

    @property
    def size(self) -> int:
        """0: progress is counted by the archive's size."""
        return 0

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Give the stream of its bytes."""
        yield self.stream


def is_archive(file: SourceFile) -> bool:
    """Return whether a file is an archive, by its name."""
    return (file.path or "").lower().endswith((*ZIPS, *TARS))


def members(file: SourceFile) -> Iterator[Member]:
    """Yield the files of an archive that are neither empty nor hidden, in its order.

    Raises `InputError` if it cannot be read, or has no such file.
    """
    found = False
    try:
        with file.open() as raw:
            path = (file.path or "").lower()
            for name, stream in _zipped(raw) if path.endswith(ZIPS) else _in_tar(raw):
                parts = PurePosixPath(name).parts
                if not any(part.startswith((".", "__MACOSX")) for part in parts):
                    found = True
                    yield Member(f"{file.name}: {name}", name, stream)
    except (OSError, *DAMAGE) as error:
        raise InputError(
            f"{file.name} is a damaged or truncated archive ({error}); get a whole copy of it"
        ) from None
    if not found:
        raise InputError(f"{file.name}: there is no text in it; give an archive that holds some")


def _zipped(raw: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(raw) as archive:
        for info in archive.infolist():
            if not info.is_dir() and info.file_size:
                if info.flag_bits & 1:
                    raise ValueError(f"{info.filename} is encrypted")
                with archive.open(info) as stream:
                    yield info.filename, stream


def _in_tar(raw: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    # As a stream, from beginning to end, so that it is decompressed only once.
    with tarfile.open(fileobj=raw, mode="r|*") as archive:
        for info in archive:
            stream = archive.extractfile(info) if info.isreg() and info.size else None
            if stream is not None:
                yield info.name, stream
