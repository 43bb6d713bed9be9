"""Reading text from files, folders, globs and standard input, compressed or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from rondel.errors import InputError
from rondel.text.archives import is_archive, members
from rondel.text.decoding import check_encoding, decode, normalised
from rondel.text.record_formats import TEXTS, RecordFormat, read_records
from rondel.text.source_files import (
    STDIN,
    SourceFile,
    files_of,
    is_folder,
    is_glob,
    source_name,
)

NOTHING = "there is no text to read: name a file, a folder, or - for standard input"


def read_text(
    sources: Sequence[str],
    encoding: str = "utf-8",
    *,
    as_bytes: bool = False,
    records: RecordFormat = TEXTS,
) -> str:
    r"""Read every source, in order, as one text.

    A source is a file, a folder (every regular file below it, in order of path; hidden files and
    folders, and empty files, are skipped), a glob with `*`, `?`, `[…]` or `**` (the files it
    matches, in order), or `-` for standard input. Names that end in .gz, .bz2, .xz, .lzma or .zst
    are decompressed; of a .zip or .tar (.tgz, .tar.gz …) the files in it are read, in its order.
    If there are several files, a newline is added to each but the last if it does not end with one.
    `records` says which part of JSON Lines or of a table is the text: see
    `rondel.text.record_formats`.

    The byte order mark is removed, and line ends become `\n`. With `as_bytes`, nothing is removed
    or refused: invalid UTF-8 is read as the lone surrogates of `surrogateescape`, so that the text
    contains every byte.

    Raises `InputError`, naming the source, if one is missing, unreadable, empty, a damaged
    archive, not text, or not in `encoding`.
    """
    if not as_bytes:
        check_encoding(encoding)

    def read(file: SourceFile) -> Iterator[str]:
        reader = records.reader(file)
        if reader is not None:
            return read_records(file, reader, encoding)
        if as_bytes:
            data = b"".join(file.blocks())
            return iter([data.decode("utf-8", "surrogateescape")] if data else [])
        return normalised(decode(file.name, file.blocks(), encoding))

    return "".join(_joined(sources, read))


def filled_files(sources: Sequence[str]) -> Iterator[SourceFile]:
    """Yield every file of the sources; in a folder or glob, empty ones are skipped.

    Raises `InputError` if all files of a source are empty.
    """
    for source in sources:
        files = files_of(source)
        if is_folder(source) or is_glob(source):
            files = [file for file in files if next(file.blocks(1), None) is not None]
            if not files:
                raise InputError(f"{source}: every file in it is empty; give a text to read")
        yield from files


def texts_in(file: SourceFile) -> Iterable[SourceFile]:
    """The file, or of an archive those in it, each to be read before the next."""
    return members(file) if is_archive(file) else [file]


def _joined(sources: Sequence[str], read: Callable[[SourceFile], Iterable[str]]) -> Iterator[str]:
    """Yield what is read of every file, with a newline added where one is missing between two."""
    last = None
    for file in itertools.chain.from_iterable(map(texts_in, filled_files(sources))):
        if last is not None and not last.endswith("\n"):
            yield "\n"
        last = None
        for last in read(file):
            yield last
        if last is None:
            raise InputError(f"{file.name} is empty; give a text to read")
    if last is None:
        raise InputError(NOTHING)


__all__ = ["STDIN", "read_text", "source_name"]
