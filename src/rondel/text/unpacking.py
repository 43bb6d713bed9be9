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
from rondel.text.stored import Piece, StoredText

Pieces = list[tuple[Piece, int]]
"""Pieces of a text, each with how many characters it has."""


def is_packed(file: SourceFile) -> bool:
    """Whether a file is compressed, and is no archive of others."""
    return file.path is not None and file.suffix in OPENERS and not is_archive(file)


def utf8_of(
    file: SourceFile, text: StoredText, encoding: str, watch: Seen | None = None, threads: int = 0
) -> Iterator[tuple[bytes, int]]:
    """What is stored of a file in a text, block by block, each with its characters."""
    blocks = file.blocks(text.block, watch)
    if text.holds_bytes:
        return ((data, count) for data, count, _ in count_characters(blocks, threads))
    return as_utf8(file.name, blocks, encoding, threads)


@contextmanager
def unpacked(
    files: Sequence[SourceFile], text: StoredText, encoding: str, scratch: Path
) -> Iterator[Iterator[Pieces]]:
    """What is in each file, in order, copied to files beside `scratch`: one for each thread.

    As the block ends, no thread writes any more.
    """
    numbers, stopped = itertools.count(1), threading.Event()

    def make() -> Callable[[SourceFile], Pieces]:
        path = scratch.with_name(f"{scratch.name}-{next(numbers)}")

        def unpack(file: SourceFile) -> Pieces:
            pieces: Pieces = []
            with path.open("ab") as copy:
                for data, characters in utf8_of(file, text, encoding, threads=1):
                    begin = copy.tell()
                    copy.write(data)
                    pieces.append((Piece(path, begin, begin + len(data)), characters))
                    if stopped.is_set():
                        break
            return pieces

        return unpack

    found = in_order(make, files)
    try:
        yield found
    finally:
        stopped.set()
        found.close()
