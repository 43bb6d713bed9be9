"""From files to a `StoredText`: plain UTF-8 files are read where they are, others are copied.

Copied are compressed files, other encodings and line ends, and standard input: what cannot be read
repeatedly at any place.
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
from rondel.text.archives import is_archive
from rondel.text.decoding import MARK, check_encoding, decode, is_utf8, normalised
from rondel.text.plain_utf8 import count_characters, sizes_unchanged
from rondel.text.reading import NOTHING, filled_files, texts_in
from rondel.text.record_formats import TEXTS, RecordFormat, read_records
from rondel.text.source_files import BLOCK, SourceFile, is_folder, is_glob
from rondel.text.stored import Extent, StoredText
from rondel.text.unpacking import Extents, is_packed, unpacked, utf8_of

KEPT_PLACES = 1 << 17
"""Places of documents that are collected in memory before they are written."""
BLANK_LINES = re.compile(rb"\n(?:[ \t]*\n)+(?=[^\n \t]|[ \t]+[^\n \t])")
"""The blank lines between two paragraphs."""

WatchReading = Callable[[str, int, int], None]
"""Called now and then with what is being done, the bytes done, and the total (0: unknown)."""


def unwatched_reading(what: str, done: int, total: int) -> None:
    """Ignore the progress."""


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
    keep_places: bool = False,
) -> StoredText:
    """Store the text that `rondel.text.reading.read_text` would read, without reading it to memory.

    What has to be copied is written to new files, `scratch` and others next to it, and so is where
    documents begin (`documents` is `file`, `record` or `blank-line`). With `keep_places`, so is
    what is removed from a single file, for `StoredText.as_written`. Raises what `read_text` raises.
    """
    if not as_bytes:
        check_encoding(encoding)
    files = list(filled_files(sources))
    total, done = sum(file.size for file in files), 0
    storing = _Storing(StoredText(as_bytes, block), scratch, encoding, records)
    storing.borders = Borders(borders_beside(scratch), documents) if documents else None
    lone = sources[0] if len(files) == 1 and not is_archive(files[0]) else None
    if keep_places and lone and not (is_folder(lone) or is_glob(lone)):
        storing.taken_off = TakenOff(pairs_beside(scratch))
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
                    storing.take(text, functools.partial(_report, watch, done, total))
                if storing.text.characters == before:
                    raise InputError(f"{text.name} is empty; give a text to read")
            done += file.size
            _report(watch, done, total, 0)
    if not storing.text.size:
        raise InputError(NOTHING)
    if storing.borders is not None:
        if documents == "blank-line":
            find_blank_lines(storing.text, storing.borders)
        storing.text.documents = storing.borders.finish()
    if storing.taken_off is not None:
        storing.text.mark, storing.text.pairs = storing.taken_off.mark, storing.taken_off.finish()
    return storing.text


def remove_copies(scratch: Path) -> None:
    """Remove the files that `store_text` made at `scratch`."""
    for path in scratch.parent.glob(f"{glob.escape(scratch.name)}*"):
        path.unlink()


def borders_beside(scratch: Path) -> Path:
    """Return the path of the file with the places of documents, for a text copied to `scratch`."""
    return scratch.with_name(f"{scratch.name}.documents")


def pairs_beside(scratch: Path) -> Path:
    """The file of where a text that is copied to `scratch` had line breaks of two characters."""
    return scratch.with_name(f"{scratch.name}.pairs")


class Places:
    """Places in a text (int64), as they are written to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places = array("q")

    def add(self, place: int) -> None:
        """Add a place."""
        self._places.append(place)
        if len(self._places) == KEPT_PLACES:
            self._write()

    def finish(self) -> Path:
        """Write the rest, and return the path of the file."""
        self._write()
        return self.path

    def _write(self) -> None:
        with self.path.open("ab") as file:
            file.write(self._places.tobytes())
        self._places = array("q")


class Borders(Places):
    """Where documents begin in a text, in bytes."""

    def __init__(self, path: Path, by: str) -> None:
        super().__init__(path)
        self.by = by


class TakenOff(Places):
    r"""What a file loses as it becomes a text: a byte order mark, and half of each pair `\r\n`.

    The places are those in the text of the line breaks that were pairs.
    """

    mark = 0

    def noted(self, parts: Iterable[str]) -> Iterator[str]:
        """The same parts of the file, each looked through before it is given."""
        read = found = 0
        last = ""
        for part in parts:
            if not read:
                self.mark = int(part.startswith(MARK))
            if last == "\r" and part.startswith("\n"):
                self.add(read - 1 - self.mark - found)
                found += 1
            for pair in re.finditer("\r\n", part):
                self.add(read + pair.start() - self.mark - found)
                found += 1
            read, last = read + len(part), part[-1:]
            yield part


def find_blank_lines(text: StoredText, borders: Borders) -> None:
    """Add a document at the beginning of a text, and after every run of blank lines."""
    borders.add(0)
    place, rest = 0, b""
    for block in text.blocks():
        data = rest + block
        for gap in BLANK_LINES.finditer(data):
            borders.add(place + gap.end())
        # White space at the end of this block may continue in the next.
        done = data.rstrip(b" \t\n")
        rest = data[len(done) :]
        place += len(done)


class Copy:
    """A text that is written to a file, part by part."""

    def __init__(self, path: Path, text: StoredText) -> None:
        self.path, self.text = path, text

    def add(self, part: str) -> None:
        """Append a part of the text."""
        self.add_utf8(self.text.encoded(part), len(part))

    def add_utf8(self, data: bytes, characters: int) -> None:
        """Let a part of a text follow, as the bytes that are stored."""
        with self.path.open("ab") as file:
            begin = file.tell()
            file.write(data)
        self.text.add(Extent(self.path, begin, begin + len(data)), characters)


@contextmanager
def copy_beside(folder: Path, like: StoredText) -> Iterator[Copy]:
    """Give a `Copy` in a file next to a folder, which is removed when the block ends."""
    path = folder.with_name(f"{folder.name}.text")
    try:
        yield Copy(path, StoredText(like.holds_bytes, like.block))
    finally:
        path.unlink(missing_ok=True)


def watched(
    blocks: Iterable[bytes], what: str, done: int, total: int, watch: WatchReading
) -> Iterator[bytes]:
    """Yield the same blocks, and call `watch` with the progress after each."""
    for block in blocks:
        yield block
        done += len(block)
        watch(what, done, total)


def _report(watch: WatchReading, done: int, total: int, read: int) -> None:
    watch("reading", done + read, total)


class _Storing:
    """A text being stored, file by file."""

    def __init__(
        self, text: StoredText, scratch: Path, encoding: str, records: RecordFormat
    ) -> None:
        self.text, self._encoding, self._records = text, encoding, records
        self.borders: Borders | None = None
        self.taken_off: TakenOff | None = None
        self._copy = Copy(scratch, text)

    def begin_file(self) -> None:
        """End the text so far with a newline, and begin a document if each file is one."""
        if self.text.size and self.text.read(self.text.size - 1, self.text.size) != b"\n":
            self.text.add(Extent(b"\n", 0, 1), 1)
        if self.borders is not None and self.borders.by == "file":
            self.borders.add(self.text.size)

    def add(self, extents: Extents) -> None:
        """Append extents."""
        for extent, characters in extents:
            self.text.add(extent, characters)

    def take(self, file: SourceFile, watch: Callable[[int], None]) -> None:
        """Append a file."""
        reader = self._records.reader(file)
        if reader is None and self.borders is not None and self.borders.by == "record":
            raise InputError(
                f"{file.name} has no records for --documents record; say which part of them is the "
                "text with --field or --column, or divide by file or blank-line"
            )
        if reader is not None:
            self._take_records(read_records(file, reader, self._encoding))
            return
        if file.is_plain and self._add_in_place(file, watch):
            return
        if self.taken_off is not None and not self.text.holds_bytes:
            blocks = file.blocks(self.text.block, watch)
            for part in normalised(self.taken_off.noted(decode(file.name, blocks, self._encoding))):
                self._copy.add(part)
            return
        for data, characters in utf8_of(file, self.text, self._encoding, watch):
            self._copy.add_utf8(data, characters)

    def _take_records(self, records: Iterator[str]) -> None:
        place = self.text.size
        bordered = self.borders is not None and self.borders.by == "record"

        def with_borders() -> Iterator[str]:
            nonlocal place
            for record in records:
                if bordered and self.borders is not None:
                    self.borders.add(place)
                    place += len(self.text.encoded(record))
                yield record

        for part in joined(with_borders(), self.text.block):
            self._copy.add(part)

    def _add_in_place(self, file: SourceFile, watch: Callable[[int], None]) -> bool:
        """Append a file without copying it; False, and nothing is added, if it must be changed."""
        path = Path(file.path or "")
        written, place = path.stat().st_mtime_ns, 0
        extents: Extents = []
        for size, characters in self._counted(file, watch):
            if not characters:
                return False
            extents.append((Extent(path, place, place + size, written), characters))
            place += size
        self.add(extents)
        return True

    def _counted(self, file: SourceFile, watch: Callable[[int], None]) -> Iterator[tuple[int, int]]:
        """Yield bytes and characters of each block; 0 characters if the file must be changed."""
        blocks = file.blocks(self.text.block, watch)
        if self.text.holds_bytes:
            return ((len(data), characters) for data, characters, _ in count_characters(blocks))
        if not is_utf8(self._encoding):
            return iter([(0, 0)])
        return sizes_unchanged(file.name, blocks, self._encoding)


def joined(strings: Iterable[str], size: int) -> Iterator[str]:
    """Join short strings to strings of at least `size` characters, except the last one."""
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
