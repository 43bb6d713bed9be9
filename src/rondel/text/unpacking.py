"""Compressed files of a text, decompressed several at a time, each by one thread."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rondel.text.archives import is_archive
from rondel.text.parallel import in_order
from rondel.text.plain_utf8 import as_utf8, count_characters
from rondel.text.source_files import OPENERS, Seen, SourceFile
from rondel.text.stored import Extent, StoredText

Extents = list[tuple[Extent, int]]
"""Extents of a text, each with its number of characters."""


def is_packed(file: SourceFile) -> bool:
    """Return whether a file is compressed, and not an archive."""
    return file.path is not None and file.suffix in OPENERS and not is_archive(file)


def utf8_of(
    file: SourceFile, text: StoredText, encoding: str, watch: Seen | None = None, threads: int = 0
) -> Iterator[tuple[bytes, int]]:
    """Yield what is stored of a file block by block: its bytes and number of characters."""
    blocks = file.blocks(text.block, watch)
    if text.holds_bytes:
        return ((data, count) for data, count, _ in count_characters(blocks, threads))
    return as_utf8(file.name, blocks, encoding, threads)


@contextmanager
def unpacked(
    files: Sequence[SourceFile], text: StoredText, encoding: str, scratch: Path
) -> Iterator[Iterator[Extents]]:
    """Copy the contents of each file, in order, to files next to `scratch`: one for each thread.

    When the `with` block ends, no thread is writing any more.
    """
    numbers, stopped = itertools.count(1), threading.Event()

    def make() -> Callable[[SourceFile], Extents]:
        path = scratch.with_name(f"{scratch.name}-{next(numbers)}")

        def unpack(file: SourceFile) -> Extents:
            extents: Extents = []
            with path.open("ab") as copy:
                for data, characters in utf8_of(file, text, encoding, threads=1):
                    begin = copy.tell()
                    copy.write(data)
                    extents.append((Extent(path, begin, begin + len(data)), characters))
                    if stopped.is_set():
                        break
            return extents

        return unpack

    found = in_order(make, files)
    try:
        yield found
    finally:
        stopped.set()
        found.close()
