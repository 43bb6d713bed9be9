"""A text of any size, read by the block or at any place: where it lies already, as UTF-8."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rondel.errors import InputError
from rondel.text.source_files import BLOCK
from rondel.text.utf8 import bytes_of


@dataclass(frozen=True)
class Piece:
    """A stretch of a text: the bytes `begin` to `end` of what lies in `source`."""

    source: Path | bytes
    begin: int
    end: int
    written: int = 0
    """When the file was last written, in nanoseconds."""


@dataclass
class StoredText:
    """A text in UTF-8, as pieces of files or of memory that follow one another.

    Lone surrogates stand in it for bytes that are no UTF-8 where it `holds_bytes`
    (`surrogateescape`), and else for themselves (`surrogatepass`). Places are counted in characters
    of the text, or in bytes where that is said.
    """

    holds_bytes: bool = False
    block: int = BLOCK
    """Bytes that are read at a time."""
    characters: int = 0
    size: int = 0
    """In bytes."""
    documents: Path | None = None
    """A file of the places in bytes (int64) where documents begin, if the text has borders."""
    _pieces: list[Piece] = field(default_factory=list)
    # Where each piece begins in the text, and known places: those in bytes, and in characters.
    _begins: list[int] = field(default_factory=list)
    _bytes: list[int] = field(default_factory=lambda: [0])
    _characters: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def of(cls, text: str, *, holds_bytes: bool = False, block: int = BLOCK) -> StoredText:
        """A text in memory."""
        stored = cls(holds_bytes, block)
        for begin in range(0, len(text), block):
            part = text[begin : begin + block]
            data = stored.encoded(part)
            stored.add(Piece(data, 0, len(data)), len(part))
        return stored

    @property
    def errors(self) -> str:
        """How surrogates are read and written."""
        return "surrogateescape" if self.holds_bytes else "surrogatepass"

    def encoded(self, text: str) -> bytes:
        """A text as the bytes that are stored."""
        return bytes_of(text) if self.holds_bytes else text.encode("utf-8", self.errors)

    def add(self, piece: Piece, characters: int) -> None:
        """Let a piece of so many characters follow."""
        last = self._pieces[-1] if self._pieces else None
        if last and isinstance(last.source, Path) and _follows(last, piece):
            self._pieces[-1] = Piece(last.source, last.begin, piece.end, piece.written)
        else:
            self._pieces.append(piece)
            self._begins.append(self.size)
        self.size += piece.end - piece.begin
        self.characters += characters
        self._bytes.append(self.size)
        self._characters.append(self.characters)

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`; `InputError` if a file was cut short meanwhile."""
        parts = []
        number = max(0, bisect_right(self._begins, begin) - 1)
        while begin < end:
            piece, first = self._pieces[number], self._begins[number]
            count = min(end, first + piece.end - piece.begin) - begin
            place = piece.begin + begin - first
            if isinstance(piece.source, bytes):
                part = piece.source[place : place + count]
            else:
                part = _read(piece.source, place, count)
            parts.append(part)
            begin += count
            number += 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def text(self, begin: int, end: int) -> str:
        """The characters from `begin` to `end`, or to the end of the text."""
        begin, end = max(0, begin), min(end, self.characters)
        if begin >= end:
            return ""
        first = bisect_right(self._characters, begin) - 1
        last = min(bisect_right(self._characters, end), len(self._characters) - 1)
        known = self._characters[first]
        data = self.read(self._bytes[first], self._bytes[last])
        return data.decode("utf-8", self.errors)[begin - known : end - known]

    def find(self, what: str, begin: int, end: int) -> int:
        """The first place of a character between two places; -1 if it is not there."""
        for at in range(max(0, begin), end, self.block):
            found = self.text(at, min(at + self.block, end)).find(what)
            if found >= 0:
                return at + found
        return -1

    def rfind(self, what: str, begin: int, end: int) -> int:
        """The last such place."""
        begin = max(0, begin)
        for at in range(end, begin, -self.block):
            first = max(begin, at - self.block)
            found = self.text(first, at).rfind(what)
            if found >= 0:
                return first + found
        return -1

    def place_in_bytes(self, place: int) -> int:
        """Where a character begins, in bytes."""
        block = bisect_right(self._characters, place) - 1
        before = self.text(self._characters[block], place)
        return self._bytes[block] + len(self.encoded(before))

    def place_in_characters(self, place: int) -> int:
        """The number of the character that begins at a place in bytes."""
        block = bisect_right(self._bytes, place) - 1
        data = self.read(self._bytes[block], place)
        return self._characters[block] + len(data.decode("utf-8", self.errors))

    def blocks(self) -> Iterator[bytes]:
        """All of its bytes, about a block at a time, whole characters always."""
        begin = 0
        while begin < self.size:
            data = self.read(begin, min(begin + max(self.block, 4), self.size))
            if begin + len(data) < self.size:
                data = data[: whole_characters(data)]
            yield data
            begin += len(data)

    def check_unchanged(self) -> None:
        """Raise `InputError` if a file was written to since the text was taken from it."""
        for piece in self._pieces:
            if isinstance(piece.source, Path) and piece.written:
                _refuse_if(piece.source.stat().st_mtime_ns != piece.written, piece.source)


def whole_characters(data: bytes) -> int:
    """How many bytes end with a whole character; all of them, if they do not end as UTF-8 does."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:  # the first of 2, 3 or 4
            length = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return len(data) - back if length > back else len(data)
        if byte < 0x80:
            break
    return len(data)


def _follows(last: Piece, piece: Piece) -> bool:
    return last.source == piece.source and last.end == piece.begin


def _read(path: Path, place: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(place)
        data = file.read(count)
    _refuse_if(len(data) != count, path)
    return data


def _refuse_if(changed: bool, path: Path) -> None:
    if changed:
        raise InputError(f"{path} was written to while it was read; try again when it is whole")
