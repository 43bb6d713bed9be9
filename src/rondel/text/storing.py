"""From a person's files to a `StoredText`: plain UTF-8 stays where it lies, and all else is copied.

What is copied is what has no place of its own to be read at again and again: what was compressed,
in another encoding or with other line ends, and standard input.
"""

from __future__ import annotations

import functools
import glob
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rondel.errors import InputError
from rondel.text.decoding import check_encoding, is_utf8
from rondel.text.plain_utf8 import count_characters, sizes_as_it_is
from rondel.text.reading import NOTHING, filled_files, texts_in
from rondel.text.record_formats import TEXTS, RecordFormat, read_records
from rondel.text.source_files import BLOCK, SourceFile
from rondel.text.stored import Piece, StoredText
from rondel.text.unpacking import Pieces, is_packed, unpacked, utf8_of

KEPT_PLACES = 1 << 17
"""Places of documents in memory before they are written."""
BLANK_LINES = re.compile(rb"\n(?:[ \t]*\n)+(?=[^\n \t]|[ \t]+[^\n \t])")
"""What stands between two paragraphs."""

WatchReading = Callable[[str, int, int], None]
"""Told now and then what is being done, with how many bytes, and of how many (0: not known)."""


def unwatched_reading(what: str, done: int, total: int) -> None:
    """Watch nothing."""


def store_text(
    sources: Sequence[str],
    scratch: Path,
    encoding: str = "utf-8",
    *,
    as_bytes: bool = False,
    records: RecordFormat = TEXTS,
    documents: str | None = None,
    watch: WatchReading = unwatched_reading,
    block: int = BLOCK,
) -> StoredText:
    """The text that `rondel.text.reading.read_text` reads, in memory for none of it.

    What has to be copied goes to a new file `scratch` and to others beside it, as does where
    documents begin (by `file`, `record` or `blank-line`, if they are asked for). Raises what
    `read_text` raises.
    """
    if not as_bytes:
        check_encoding(encoding)
    files = list(filled_files(sources))
    total, done = sum(file.size for file in files), 0
    storing = _Storing(StoredText(as_bytes, block), scratch, encoding, records)
    storing.borders = Borders(borders_beside(scratch), documents) if documents else None
    packed = [file for file in files if is_packed(file) and records.reader(file) is None]
    packed = packed if len(packed) > 1 else []  # one alone is read by all cores
    waiting = frozenset(packed)
    with unpacked(packed, storing.text, encoding, scratch) as copies:
        for file in files:
            for text in texts_in(file):
                storing.begin_file()
                before = storing.text.characters
                if text in waiting:
                    storing.add(next(copies))
                else:
                    storing.take(text, functools.partial(_tell, watch, done, total))
                if storing.text.characters == before:
                    raise InputError(f"{text.name} is empty; give a text to read")
            done += file.size
            _tell(watch, done, total, 0)
    if not storing.text.size:
        raise InputError(NOTHING)
    if storing.borders is not None:
        if documents == "blank-line":
            find_blank_lines(storing.text, storing.borders)
        storing.text.documents = storing.borders.finish()
    return storing.text


def remove_copies(scratch: Path) -> None:
    """Remove the files that `store_text` made at `scratch`."""
    for path in scratch.parent.glob(f"{glob.escape(scratch.name)}*"):
        path.unlink()


def borders_beside(scratch: Path) -> Path:
    """The file of where documents begin in a text that is copied to `scratch`."""
    return scratch.with_name(f"{scratch.name}.documents")


class Borders:
    """Where documents begin in a text, in bytes (int64), as they are written to a file."""

    def __init__(self, path: Path, by: str) -> None:
        self.path, self.by = path, by
        self._places = array("q")

    def add(self, place: int) -> None:
        """Let a document begin at a place."""
        self._places.append(place)
        if len(self._places) == KEPT_PLACES:
            self._write()

    def finish(self) -> Path:
        """The file, with all of them."""
        self._write()
        return self.path

    def _write(self) -> None:
        with self.path.open("ab") as file:
            file.write(self._places.tobytes())
        self._places = array("q")


def find_blank_lines(text: StoredText, borders: Borders) -> None:
    """Let a document begin at the beginning of a text, and after every blank line in it."""
    borders.add(0)
    place, held = 0, b""
    for block in text.blocks():
        data = held + block
        for gap in BLANK_LINES.finditer(data):
            borders.add(place + gap.end())
        # The gap that this block ends in may go on in the next.
        kept = data.rstrip(b" \t\n")
        held = data[len(kept) :]
        place += len(kept)


class Copy:
    """A text that is written to a file, part by part."""

    def __init__(self, path: Path, text: StoredText) -> None:
        self.path, self.text = path, text

    def add(self, part: str) -> None:
        """Let a part of a text follow."""
        self.add_utf8(self.text.encoded(part), len(part))

    def add_utf8(self, data: bytes, characters: int) -> None:
        """Let a part of a text follow, as the bytes that are stored."""
        with self.path.open("ab") as file:
            begin = file.tell()
            file.write(data)
        self.text.add(Piece(self.path, begin, begin + len(data)), characters)


@contextmanager
def copy_beside(folder: Path, like: StoredText) -> Iterator[Copy]:
    """A text to write, beside a folder, of the same kind as another; gone as the block ends."""
    path = folder.with_name(f"{folder.name}.text")
    try:
        yield Copy(path, StoredText(like.holds_bytes, like.block))
    finally:
        path.unlink(missing_ok=True)


def watched(
    blocks: Iterable[bytes], what: str, done: int, total: int, watch: WatchReading
) -> Iterator[bytes]:
    """The same blocks, with `watch` told of each."""
    for block in blocks:
        yield block
        done += len(block)
        watch(what, done, total)


def _tell(watch: WatchReading, done: int, total: int, read: int) -> None:
    watch("reading", done + read, total)


class _Storing:
    """A text as it grows, file by file."""

    def __init__(
        self, text: StoredText, scratch: Path, encoding: str, records: RecordFormat
    ) -> None:
        self.text, self._encoding, self._records = text, encoding, records
        self.borders: Borders | None = None
        self._copy = Copy(scratch, text)

    def begin_file(self) -> None:
        """Have what stands there end with a newline, and a document begin, if it is a file."""
        if self.text.size and self.text.read(self.text.size - 1, self.text.size) != b"\n":
            self.text.add(Piece(b"\n", 0, 1), 1)
        if self.borders is not None and self.borders.by == "file":
            self.borders.add(self.text.size)

    def add(self, pieces: Pieces) -> None:
        """Let pieces follow."""
        for piece, characters in pieces:
            self.text.add(piece, characters)

    def take(self, file: SourceFile, watch: Callable[[int], None]) -> None:
        """Let a file follow."""
        reader = self._records.reader(file)
        if reader is None and self.borders is not None and self.borders.by == "record":
            raise InputError(
                f"{file.name} has no records for --documents record; say which part of them is the "
                "text with --field or --column, or divide by file or blank-line"
            )
        if reader is not None:
            self._take_records(read_records(file, reader, self._encoding))
            return
        if file.is_plain and self._leave(file, watch):
            return
        for data, characters in utf8_of(file, self.text, self._encoding, watch):
            self._copy.add_utf8(data, characters)

    def _take_records(self, records: Iterator[str]) -> None:
        place = self.text.size
        bordered = self.borders is not None and self.borders.by == "record"

        def noted() -> Iterator[str]:
            nonlocal place
            for record in records:
                if bordered and self.borders is not None:
                    self.borders.add(place)
                    place += len(self.text.encoded(record))
                yield record

        for part in joined(noted(), self.text.block):
            self._copy.add(part)

    def _leave(self, file: SourceFile, watch: Callable[[int], None]) -> bool:
        """Take a text from where it lies; nothing of it, and False, if it has to be changed."""
        path = Path(file.path or "")
        written, place = path.stat().st_mtime_ns, 0
        pieces: Pieces = []
        for size, characters in self._counted(file, watch):
            if not characters:
                return False
            pieces.append((Piece(path, place, place + size, written), characters))
            place += size
        self.add(pieces)
        return True

    def _counted(self, file: SourceFile, watch: Callable[[int], None]) -> Iterator[tuple[int, int]]:
        """Bytes and characters of each block; no characters where it has to be changed."""
        blocks = file.blocks(self.text.block, watch)
        if self.text.holds_bytes:
            return ((len(data), characters) for data, characters, _ in count_characters(blocks))
        if not is_utf8(self._encoding):
            return iter([(0, 0)])
        return sizes_as_it_is(file.name, blocks, self._encoding)


def joined(strings: Iterable[str], size: int) -> Iterator[str]:
    """Short strings put together to some of `size` characters at least, but for the last."""
    parts: list[str] = []
    length = 0
    for string in strings:
        parts.append(string)
        length += len(string)
        if length >= size:
            yield "".join(parts)
            parts.clear()
            length = 0
    if parts:
        yield "".join(parts)
