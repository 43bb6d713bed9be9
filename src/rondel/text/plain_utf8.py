"""Files in plain UTF-8: checked and counted by compiled kernels, on all cores, without decoding.

Plain UTF-8 is valid, has no byte order mark, and ends its lines with `\n` only, so its bytes are
stored as they are. From the first block that is not plain, Python decodes the rest of the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rondel.text.decoding import (
    EXCERPT,
    MARK,
    decode_to,
    has_controls,
    is_utf8,
    normalised,
)
from rondel.text.parallel import in_order, is_for_kernels
from rondel.text.stored import whole_characters
from rondel.text.utf8 import LONE

FIRST = 4 * EXCERPT
"""The most bytes of the first `EXCERPT` characters, which show whether a file is text."""


class Examined(NamedTuple):
    """A block of whole characters, how many there are, and whether it is plain UTF-8."""

    data: bytes
    characters: int
    is_plain: bool


def as_utf8(
    name: str, blocks: Iterable[bytes], encoding: str, threads: int = 0
) -> Iterator[tuple[bytes, int]]:
    r"""Yield the text of a file block by block: its UTF-8 and its number of characters.

    It has no byte order mark, and its line ends are `\n`. Raises `InputError` if the file is not
    text in this encoding.
    """
    plain = _Plain(blocks, encoding, threads)
    yield from plain
    decoded = (text for text, _ in plain.decoded(name))
    for text in normalised(decoded, first=plain.size == 0):
        yield text.encode("utf-8"), len(text)


def sizes_unchanged(name: str, blocks: Iterable[bytes], encoding: str) -> Iterator[tuple[int, int]]:
    """Yield the bytes and characters of each block of a file; 0 characters if it must be changed.

    Raises `InputError` if the file is not text in this encoding.
    """
    plain = _Plain(blocks, encoding)
    for data, characters in plain:
        yield len(data), characters
    place = plain.size
    for block, end in plain.decoded(name):
        is_unchanged = "\r" not in block and not (place == 0 and block.startswith(MARK))
        yield end - place, len(block) if is_unchanged else 0
        place = end


def count_characters(blocks: Iterable[bytes], threads: int = 0) -> Iterator[Examined]:
    """Cut bytes into blocks of whole characters, and count these.

    A byte that is not valid UTF-8 counts as one character.
    """
    return in_order(lambda: examine, whole(blocks), threads)


class _Plain:
    """The plain blocks at the beginning of a file, each with its number of characters.

    There are none if the file is short or the kernels are not installed.
    """

    def __init__(self, blocks: Iterable[bytes], encoding: str, threads: int = 0) -> None:
        self._upcoming, self._encoding, self._threads = iter(blocks), encoding, threads
        self._head = next(self._upcoming, b"")
        self._rest = itertools.chain([self._head], self._upcoming)
        self.size = 0
        """Bytes of the blocks yielded so far."""

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        if not (is_utf8(self._encoding) and is_text(self._head)):
            return
        examined = in_order(lambda: examine, whole(self._rest), self._threads)
        for data, characters, is_plain in examined:
            if not is_plain:
                self._rest = itertools.chain([data], (block.data for block in examined))
                return
            self.size += len(data)
            yield data, characters
        self._rest = itertools.chain()

    def decoded(self, name: str) -> Iterator[tuple[str, int]]:
        """Decode the other blocks; yield each with the byte of the file at which it ends."""
        return decode_to(name, self._rest, self._encoding, self._head[:EXCERPT], self.size)


def is_text(first: bytes) -> bool:
    """Return whether the first block of a file is long enough to be judged, and is text."""
    if len(first) < FIRST or not is_for_kernels(first):
        return False
    excerpt = first[:FIRST].decode("utf-8", "replace")[:EXCERPT]
    return not (excerpt.startswith(MARK) or has_controls(excerpt))


def examine(data: bytes) -> Examined:
    """Count the characters of a block, and find whether it is plain."""
    if not is_for_kernels(data):
        text = data.decode("utf-8", "surrogateescape")
        is_changed = LONE.search(text) or "\r" in text or "\0" in text
        return Examined(data, len(text), not is_changed)
    from rondel.kernels.text.characters import examine

    characters, is_valid, is_plain = examine(np.frombuffer(data, np.uint8))
    return Examined(data, characters, is_valid and is_plain)


def whole(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut bytes into blocks that end with a whole character if they are UTF-8."""
    rest = b""
    for block in blocks:
        data = rest + block if rest else block
        end = whole_characters(data)
        if end:
            yield data[:end]
        rest = data[end:]
    if rest:
        yield rest
