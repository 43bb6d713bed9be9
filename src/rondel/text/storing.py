"""From a person's files to a `StoredText`: plain UTF-8 stays where it lies, and all else is copied.

What is copied is what has no place of its own to be read at again and again: what was compressed,
in another encoding or with other line ends, and standard input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rondel.errors import InputError
from rondel.text.decoding import MARK, check_encoding, decode, decode_to, is_utf8, normalised
from rondel.text.reading import NOTHING, filled_files
from rondel.text.source_files import BLOCK, SourceFile
from rondel.text.stored import Piece, StoredText, whole_characters

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
    watch: WatchReading = unwatched_reading,
    block: int = BLOCK,
) -> StoredText:
    """The text that `rondel.text.reading.read_text` reads, in memory for none of it.

    What has to be copied goes to a new file `scratch`. Raises what `read_text` raises.
    """
    if not as_bytes:
        check_encoding(encoding)
    files = list(filled_files(sources))
    if not files:
        raise InputError(NOTHING)
    storing = _Storing(StoredText(as_bytes, block), scratch, encoding)
    total, done = sum(file.size for file in files), 0
    for file in files:
        storing.end_line()
        before = storing.text.characters
        storing.take(file, functools.partial(_tell, watch, done, total))
        if storing.text.characters == before:
            raise InputError(f"{file.name} is empty; give a text to read")
        done += file.size
    return storing.text


class Copy:
    """A text that is written to a file, part by part."""

    def __init__(self, path: Path, text: StoredText) -> None:
        self.path, self.text = path, text

    def add(self, part: str) -> None:
        """Let a part of a text follow."""
        data = self.text.encoded(part)
        with self.path.open("ab") as file:
            begin = file.tell()
            file.write(data)
        self.text.add(Piece(self.path, begin, begin + len(data)), len(part))


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

    def __init__(self, text: StoredText, scratch: Path, encoding: str) -> None:
        self.text, self._encoding = text, encoding
        self._copy = Copy(scratch, text)

    def end_line(self) -> None:
        """Have what stands there end with a newline."""
        if self.text.size and self.text.read(self.text.size - 1, self.text.size) != b"\n":
            self.text.add(Piece(b"\n", 0, 1), 1)

    def take(self, file: SourceFile, watch: Callable[[int], None]) -> None:
        """Let a file follow."""
        if file.is_plain and self._leave(file, watch):
            return
        if self.text.holds_bytes:
            for data in _whole(file.blocks(self.text.block, watch)):
                self._copy.add(data.decode("utf-8", "surrogateescape"))
        else:
            blocks = file.blocks(self.text.block, watch)
            for part in normalised(decode(file.name, blocks, self._encoding)):
                self._copy.add(part)

    def _leave(self, file: SourceFile, watch: Callable[[int], None]) -> bool:
        """Take a text from where it lies; nothing of it, and False, if it has to be changed."""
        path = Path(file.path or "")
        written, place, pieces = path.stat().st_mtime_ns, 0, []
        for size, characters in self._counted(file, watch):
            if not characters:
                return False
            pieces.append((Piece(path, place, place + size, written), characters))
            place += size
        for piece, characters in pieces:
            self.text.add(piece, characters)
        return True

    def _counted(self, file: SourceFile, watch: Callable[[int], None]) -> Iterator[tuple[int, int]]:
        """Bytes and characters of each block; no characters where it has to be changed."""
        if self.text.holds_bytes:
            for data in _whole(file.blocks(self.text.block, watch)):
                yield len(data), len(data.decode("utf-8", "surrogateescape"))
        elif not is_utf8(self._encoding):
            yield 0, 0
        else:
            place = 0
            for part, end in decode_to(
                file.name, file.blocks(self.text.block, watch), self._encoding
            ):
                as_it_is = "\r" not in part and not (place == 0 and part.startswith(MARK))
                yield end - place, len(part) * as_it_is
                place = end


def _whole(blocks: Iterator[bytes]) -> Iterator[bytes]:
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
