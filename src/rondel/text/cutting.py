"""Cuts a stored text into pieces where this does not change its tokens or words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rondel.text.stored import StoredText, whole_characters
from rondel.text.tokenizers.base import Cut, last_line

TAILS = (1 << 10, 1 << 16)
"""Sizes in bytes of the ends of a block in which a place to cut is sought first."""
CutText = Callable[[str, int], "Cut | None"]
"""Finds the last place at or before a character where a text may be cut: see `Tokenizer.cut`."""


def cut_blocks(
    text: StoredText, begin: int, end: int, cut: CutText, most: int = 0
) -> Iterator[bytes]:
    """The bytes from `begin` to `end` in pieces of about a block, cut where `cut` says.

    Where there is no such place, a piece grows until there is, or until it has `most` bytes, if
    that is given; then it is cut after any character.
    """
    return (data for data, _ in cut_places(text, begin, end, cut, most))


def cut_places(
    text: StoredText, begin: int, end: int, cut: CutText, most: int = 0
) -> Iterator[tuple[bytes, int]]:
    """The same pieces, each with where the next begins; the white space between is in neither."""
    size = text.block
    while begin < end:
        data = text.read(begin, min(begin + size, end))
        place = None
        if begin + len(data) == end:
            place = len(data), len(data)
        elif whole := whole_characters(data):
            data = data[:whole]
            anywhere = (whole, whole) if 0 < most <= size else None
            place = _cut_bytes(data, cut, text.errors) or anywhere
        if place is None:
            size *= 2
        else:
            begin, size = begin + place[1], text.block
            yield data[: place[0]], begin


def _cut_bytes(data: bytes, cut: CutText, errors: str) -> tuple[int, int] | None:
    for length in (*TAILS, len(data)):
        first = max(0, len(data) - length)
        while first < len(data) and data[first] & 0xC0 == 0x80:
            first += 1
        tail = data[first:].decode("utf-8", errors)
        found = cut(tail, len(tail))
        if found is not None and found.end > 0:
            end = first + len(tail[: found.end].encode("utf-8", errors))
            return end, end + len(tail[found.end : found.begin].encode("utf-8", errors))
        if first == 0:
            break
    return None


def cut_after_line(text: str, near: int) -> Cut | None:
    """Cut after the last line break; for a text from which a vocabulary is to be made."""
    line = last_line(text, near)
    return Cut(line, line) if line else None


def cut_between_words(text: str, near: int) -> Cut | None:
    """Cut as `cut_after_line`, or at a single space, which then is in neither piece."""
    space = min(near, len(text) - 1)
    while (space := text.rfind(" ", 0, space)) > 0:
        if not text[space - 1].isspace() and not text[space + 1].isspace():
            return Cut(space, space + 1)
    return cut_after_line(text, near)


def decoded(text: StoredText) -> Iterator[str]:
    """Decode a whole text block by block."""
    return (block.decode("utf-8", text.errors) for block in text.blocks())
