"""UTF-8 that may stand in a text as it lies in a file: examined by all cores, decoded by none.

What is decoded at all, block by block in Python, is what is in another encoding, is no text, or has
a byte order mark or other line ends to take off.
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
"""Bytes that hold the characters by which a file is known to be text."""


class Examined(NamedTuple):
    """A block of whole characters, how many there are, and whether it may stay as it is."""

    data: bytes
    characters: int
    is_plain: bool


def as_utf8(
    name: str, blocks: Iterable[bytes], encoding: str, threads: int = 0
) -> Iterator[tuple[bytes, int]]:
    r"""The text of a file in UTF-8, with its characters, block by block.

    It has no byte order mark, and its line ends are `\n`. Raises `InputError` if it is no text in
    this encoding.
    """
    plain = _Plain(blocks, encoding, threads)
    yield from plain
    decoded = (text for text, _ in plain.decoded(name))
    for text in normalised(decoded, first=plain.size == 0):
        yield text.encode("utf-8"), len(text)


def sizes_as_it_is(name: str, blocks: Iterable[bytes], encoding: str) -> Iterator[tuple[int, int]]:
    """Bytes and characters of each block of a text; no characters where it has to be changed.

    Raises `InputError` if it is no text in this encoding.
    """
    plain = _Plain(blocks, encoding)
    for data, characters in plain:
        yield len(data), characters
    place = plain.size
    for part, end in plain.decoded(name):
        as_it_is = "\r" not in part and not (place == 0 and part.startswith(MARK))
        yield end - place, len(part) * as_it_is
        place = end


def count_characters(blocks: Iterable[bytes], threads: int = 0) -> Iterator[Examined]:
    """Blocks of any bytes, each of whole characters, with how many there are.

    A byte that is no UTF-8 is a character.
    """
    return in_order(lambda: examine, whole(blocks), threads)


class _Plain:
    """The blocks at the beginning of a file that may stay as they are, with their characters.

    What they are, kernels tell. Without these, or where a file is short, there are none.
    """

    def __init__(self, blocks: Iterable[bytes], encoding: str, threads: int = 0) -> None:
        self._upcoming, self._encoding, self._threads = iter(blocks), encoding, threads
        self._head = next(self._upcoming, b"")
        self._rest = itertools.chain([self._head], self._upcoming)
        self.size = 0
        """Bytes of those that were given."""

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
        """The others, decoded, each with the number of bytes of the file that it ends at."""
        return decode_to(name, self._rest, self._encoding, self._head[:EXCERPT], self.size)


def is_text(first: bytes) -> bool:
    """Whether the first block of a file is long enough to tell that it is text, and is."""
    if len(first) < FIRST or not is_for_kernels(first):
        return False
    excerpt = first[:FIRST].decode("utf-8", "replace")[:EXCERPT]
    return not (excerpt.startswith(MARK) or has_controls(excerpt))


def examine(data: bytes) -> Examined:
    """Count the characters of a block, and see whether it is plain."""
    if not is_for_kernels(data):
        text = data.decode("utf-8", "surrogateescape")
        is_changed = LONE.search(text) or "\r" in text or "\0" in text
        return Examined(data, len(text), not is_changed)
    from rondel.kernels.text.characters import examine

    characters, is_valid, is_plain = examine(np.frombuffer(data, np.uint8))
    return Examined(data, characters, is_valid and is_plain)


def whole(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Bytes in blocks that end with a whole character, where they are UTF-8."""
    held = b""
    for block in blocks:
        data = held + block if held else block
        end = whole_characters(data)
        if end:
            yield data[:end]
        held = data[end:]
    if held:
        yield held
