"""A text of any size in UTF-8, read in blocks or at any place, from files or from memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.text.source_files import BLOCK
from rondel.text.utf8 import bytes_of


@dataclass(frozen=True)
class Extent:
    """A part of a text: the bytes `begin` to `end` of a file or of bytes in memory."""

    source: Path | bytes
    begin: int
    end: int
    written: int = 0
    """The file's modification time, in nanoseconds."""


@dataclass
class StoredText:
    """A text in UTF-8, as a sequence of parts of files or of memory.

    If it `holds_bytes`, lone surrogates represent invalid UTF-8 (`surrogateescape`); otherwise they
    are characters (`surrogatepass`). Places are in characters, unless bytes are mentioned.
    """

    holds_bytes: bool = False
    block: int = BLOCK
    """Bytes read at a time."""
    characters: int = 0
    size: int = 0
    """The size in bytes."""
    documents: Path | None = None
    """A file of the places in bytes (int64) where documents begin, if they have boundaries."""
    mark: int = 0
    """1 if a byte order mark was removed from the one file that the text is of, else 0."""
    pairs: Path | None = None
    """A file of the places in characters (int64) of line breaks that were two characters there."""
    _extents: list[Extent] = field(default_factory=list)
    # Where each extent begins, in bytes; and known places, in bytes and in characters.
    _begins: list[int] = field(default_factory=list)
    _bytes: list[int] = field(default_factory=lambda: [0])
    _characters: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def of(cls, text: str, *, holds_bytes: bool = False, block: int = BLOCK) -> StoredText:
        """Store a text in memory."""
        stored = cls(holds_bytes, block)
        for begin in range(0, len(text), block):
            part = text[begin : begin + block]
            data = stored.encoded(part)
            stored.add(Extent(data, 0, len(data)), len(part))
        return stored

    @property
    def errors(self) -> str:
        """The `errors` argument of encoding and decoding."""
        return "surrogateescape" if self.holds_bytes else "surrogatepass"

    def encoded(self, text: str) -> bytes:
        """Encode a text as it is stored."""
        return bytes_of(text) if self.holds_bytes else text.encode("utf-8", self.errors)

    def add(self, extent: Extent, characters: int) -> None:
        """Append an extent of so many characters."""
        last = self._extents[-1] if self._extents else None
        if last and isinstance(last.source, Path) and _follows(last, extent):
            self._extents[-1] = Extent(last.source, last.begin, extent.end, extent.written)
        else:
            self._extents.append(extent)
            self._begins.append(self.size)
        self.size += extent.end - extent.begin
        self.characters += characters
        self._bytes.append(self.size)
        self._characters.append(self.characters)

    def read(self, begin: int, end: int) -> bytes:
        """Return the bytes from `begin` to `end`; `InputError` if a file has become shorter."""
        parts = []
        number = max(0, bisect_right(self._begins, begin) - 1)
        while begin < end:
            extent, first = self._extents[number], self._begins[number]
            count = min(end, first + extent.end - extent.begin) - begin
            place = extent.begin + begin - first
            if isinstance(extent.source, bytes):
                part = extent.source[place : place + count]
            else:
                part = _read(extent.source, place, count)
            parts.append(part)
            begin += count
            number += 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def text(self, begin: int, end: int) -> str:
        """Return the characters from `begin` to `end`, or to the end of the text."""
        begin, end = max(0, begin), min(end, self.characters)
        if begin >= end:
            return ""
        first = bisect_right(self._characters, begin) - 1
        last = min(bisect_right(self._characters, end), len(self._characters) - 1)
        known = self._characters[first]
        data = self.read(self._bytes[first], self._bytes[last])
        return data.decode("utf-8", self.errors)[begin - known : end - known]

    def find(self, what: str, begin: int, end: int) -> int:
        """Return the first place of a character between two places; -1 if there is none."""
        for at in range(max(0, begin), end, self.block):
            found = self.text(at, min(at + self.block, end)).find(what)
            if found >= 0:
                return at + found
        return -1

    def rfind(self, what: str, begin: int, end: int) -> int:
        """Return the last such place."""
        begin = max(0, begin)
        for at in range(end, begin, -self.block):
            first = max(begin, at - self.block)
            found = self.text(first, at).rfind(what)
            if found >= 0:
                return first + found
        return -1

    def place_in_bytes(self, place: int) -> int:
        """Convert the place of a character to bytes."""
        block = bisect_right(self._characters, place) - 1
        before = self.text(self._characters[block], place)
        return self._bytes[block] + len(self.encoded(before))

    def place_in_characters(self, place: int) -> int:
        """Convert a place in bytes, where a character begins, to characters."""
        block = bisect_right(self._bytes, place) - 1
        data = self.read(self._bytes[block], place)
        return self._characters[block] + len(data.decode("utf-8", self.errors))

    def as_written(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Places in characters of the text, as places in characters of the file that it is of."""
        written: npt.NDArray[np.int64] = places + self.mark
        if self.pairs is not None and self.pairs.stat().st_size:
            # Mapped anew each time, so that what was read of it does not stay in memory.
            written += np.searchsorted(np.memmap(self.pairs, "<i8", "r"), places)
        return written

    def blocks(self) -> Iterator[bytes]:
        """Yield all bytes, about a block at a time, in whole characters."""
        begin = 0
        while begin < self.size:
            data = self.read(begin, min(begin + max(self.block, 4), self.size))
            if begin + len(data) < self.size:
                data = data[: whole_characters(data)]
            yield data
            begin += len(data)

    def check_unchanged(self) -> None:
        """Raise `InputError` if a file was changed since the text was stored."""
        for extent in self._extents:
            if isinstance(extent.source, Path) and extent.written:
                _refuse_if(extent.source.stat().st_mtime_ns != extent.written, extent.source)


def whole_characters(data: bytes) -> int:
    """Return how many bytes end with a whole character; all, if the end is not valid UTF-8."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:  # the first of 2, 3 or 4
            length = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return len(data) - back if length > back else len(data)
        if byte < 0x80:
            break
    return len(data)


def _follows(last: Extent, extent: Extent) -> bool:
    return last.source == extent.source and last.end == extent.begin


def _read(path: Path, place: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(place)
        data = file.read(count)
    _refuse_if(len(data) != count, path)
    return data


def _refuse_if(changed: bool, path: Path) -> None:
    if changed:
        raise InputError(f"{path} was written to while it was read; try again when it is whole")
