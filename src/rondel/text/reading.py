"""Reading a person's text: files, folders, globs and standard input, compressed or not."""

from __future__ import annotations

import bz2
import codecs
import glob
import gzip
import io
import itertools
import lzma
import os
import re
import sys
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rondel.errors import InputError
from rondel.files import refuse_device

STDIN = "-"
MARK = "\ufeff"

# What no text has, whatever its language: control characters other than white space and escape.
_CONTROLS = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_EXCERPT = 65_536
_TEXT_HAS_FEWER_CONTROLS_THAN = 0.1
_BYTES_INSTEAD = "or train on its bytes as they are with --level byte"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(sources: Sequence[str], encoding: str = "utf-8", *, as_bytes: bool = False) -> str:
    r"""Read every source, in order, as one text.

    A source is a file, a folder (every regular file below it, in order of path; hidden files and
    folders, and empty files, are passed over), a glob with `*`, `?`, `[…]` or `**` (the files it
    matches, in order), or `-` for standard input. Names that end in .gz, .bz2, .xz, .lzma or .zst
    are decompressed. Where there are several documents, each but the last is made to end with a
    newline.

    Text loses its byte order mark, and its line ends become `\n`. With `as_bytes`, nothing is
    taken off or refused: bytes that are no UTF-8 come as the lone surrogates of
    `surrogateescape`, so that the text holds every byte.

    Raises `InputError`, naming the source, if one is missing, unreadable, empty, a damaged
    archive, not text, or not in `encoding`.
    """
    if not as_bytes:
        _check_encoding(encoding)
    documents = []
    for source in sources:
        for name, data in _documents(source):
            documents.append(
                _as_written(data) if as_bytes else _normalised(_decode(name, data, encoding))
            )
            if not documents[-1]:
                raise InputError(f"{name} is empty; give a text to read")
    if not documents:
        raise InputError("there is no text to read: name a file, a folder, or - for standard input")
    for i, document in enumerate(documents[:-1]):
        if not document.endswith("\n"):
            documents[i] = document + "\n"
    return documents[0] if len(documents) == 1 else "".join(documents)


class Document(NamedTuple):
    """A text that was read, and what was taken off as it was."""

    text: str
    mark: int
    """1 if a byte order mark stood before it, else 0."""
    pairs: Sequence[int]
    """Which of its line breaks were pairs of characters: where they stand in the text."""

    def as_written(self, places: Iterable[int]) -> list[int]:
        """Places in the text, as places in characters of the source."""
        return [place + self.mark + bisect_left(self.pairs, place) for place in places]


def read_document(source: str, encoding: str = "utf-8", *, as_bytes: bool = False) -> Document:
    """As `read_text`, for one source; of a folder or glob of several files, nothing was taken off.

    Raises what `read_text` raises.
    """
    documents = [] if as_bytes or _is_folder(source) or _is_glob(source) else _documents(source)
    if not documents:
        return Document(read_text([source], encoding, as_bytes=as_bytes), 0, ())
    _check_encoding(encoding)
    ((name, data),) = documents
    written = _decode(name, data, encoding)
    text = _normalised(written)
    if not text:
        raise InputError(f"{name} is empty; give a text to read")
    mark = int(written.startswith(MARK))
    pairs = re.finditer("\r\n", written)
    return Document(text, mark, [pair.start() - mark - n for n, pair in enumerate(pairs)])


def source_name(sources: Sequence[str]) -> str:
    """A short name for a run on `sources`, fit for a folder: "book" for "books/book.txt.gz".

    A folder gives its own name, a glob that of the folder it starts in, `-` gives "stdin"; of
    several sources, the first, and how many more there are.
    """
    first = sources[0]
    if first == STDIN:
        name = "stdin"
    elif _is_folder(first):
        name = Path(first).resolve().name
    elif _is_glob(first):
        fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(first).parts)
        name = Path(*fixed).resolve().name
    else:
        path = Path(first)
        name = (path.with_suffix("") if path.suffix.lower() in _DECOMPRESSORS else path).stem
    name = re.sub(r"[^\w.-]+", "-", name).strip("-._")[:60] or "text"
    return name if len(sources) == 1 else f"{name}-and-{len(sources) - 1}-more"


def _documents(source: str) -> list[tuple[str, bytes]]:
    """The documents of one source, decompressed, each with the name to call it by."""
    if source == STDIN:
        return [("standard input", _read_stdin())]
    if _is_folder(source):
        paths, nothing = _files_below(source), "no file that is not hidden"
    elif _is_glob(source):
        # pathlib's own would find hidden files as well, and take no absolute pattern.
        matches = glob.glob(source, recursive=True)  # noqa: PTH207
        paths = sorted(filter(os.path.isfile, matches))
        nothing = "no file that matches"
    else:
        return [(source, _read(source))]
    if not paths:
        raise InputError(f"{source}: there is {nothing}; name a file or a folder that holds text")
    documents = [(path, _read(path)) for path in paths]
    filled = [(path, data) for path, data in documents if data]
    if not filled:
        raise InputError(f"{source}: every file in it is empty; give a text to read")
    return filled


def _is_folder(source: str) -> bool:
    return os.path.isdir(source)  # noqa: PTH112 (pathlib's raises where no one may look)


def _is_glob(source: str) -> bool:
    """Whether to look for what matches `source`: a file may have a `[` or a `*` in its own name."""
    return glob.has_magic(source) and not os.path.lexists(source)


def _files_below(folder: str) -> list[str]:
    """Every regular file below `folder`, in order of path, less what is hidden."""

    def refuse(error: OSError) -> None:
        raise _unreadable(str(error.filename), error)

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    in_order = sorted(found, key=lambda path: path.parts)
    return [str(path) for path in filter(os.path.isfile, in_order)]


def _read(path: str) -> bytes:
    refuse_device(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file or folder; check the name") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    decompress = _DECOMPRESSORS.get(Path(path).suffix.lower())
    if decompress is None:
        return data
    try:
        return decompress(data)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"{path} is a damaged or truncated archive ({error}); get a whole copy of it"
        ) from None


def _decompress_zstd(data: bytes) -> bytes:
    import zstandard

    parts = []
    while data:  # a file may hold several frames, one after another
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            parts.append(frame.decompress(data))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None
        if not frame.eof:
            raise EOFError("it ends in the middle of a frame")
        data = frame.unused_data
    return b"".join(parts)


_DECOMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".lzma": lzma.decompress,
    ".zst": _decompress_zstd,
}


def _read_stdin() -> bytes:
    try:
        with suppress(io.UnsupportedOperation):  # it may be no file of the system's
            refuse_device(sys.stdin.fileno(), "standard input")
        return sys.stdin.buffer.read()
    except (AttributeError, ValueError):  # it is None or closed where a process was given none
        raise InputError("there is no standard input to read; name a file instead of -") from None
    except OSError as error:
        raise _unreadable("standard input", error) from None


def _unreadable(name: str, error: OSError) -> InputError:
    return InputError(f"{name} cannot be read ({error.strerror}); check its permissions")


def _check_encoding(encoding: str) -> None:
    try:
        "a".encode(encoding)
    except (LookupError, ValueError):
        raise InputError(
            f"no text encoding is called {encoding!r}; try utf-8, utf-16, cp1252 or latin-1"
        ) from None


def _as_written(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _decode(name: str, data: bytes, encoding: str) -> str:
    """Text from bytes, its byte order mark and line ends as they are."""
    # utf-8-sig differs by the mark alone, and counts its offsets from after it.
    codec = "utf-8" if codecs.lookup(encoding).name == "utf-8-sig" else encoding
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        raise _undecodable(name, data, encoding, error.start) from None
    except UnicodeError as error:
        raise InputError(f"{name} cannot be decoded as {encoding}: {error}") from None
    if "\0" in text or _is_binary(text[:_EXCERPT]):
        raise _binary(name, data, encoding)
    return text


def _normalised(text: str) -> str:
    """The text without a byte order mark, its line ends as one newline."""
    text = text.removeprefix(MARK)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _undecodable(name: str, data: bytes, encoding: str, offset: int) -> InputError:
    excerpt = data[:_EXCERPT].decode("latin-1")
    is_wide = _wide_encoding(data) is not None or _is_wide(encoding)
    if not is_wide and ("\0" in excerpt or _is_binary(excerpt)):
        return _binary(name, data, encoding)
    others = " or ".join(f"--encoding {other}" for other in _other_encodings(data, encoding))
    remedy = f"try {others}, {_BYTES_INSTEAD}" if others else "get a whole copy of it"
    return InputError(
        f"{name}: the byte 0x{data[offset]:02x} at offset {offset} is not {encoding}; {remedy}"
    )


def _binary(name: str, data: bytes, encoding: str) -> InputError:
    wide = _wide_encoding(data)
    if wide is not None and not _is_wide(encoding):
        return InputError(f"{name} looks like {wide}; try --encoding {wide}, {_BYTES_INSTEAD}")
    return InputError(f"{name} is binary, not text; save it as plain text, {_BYTES_INSTEAD}")


def _is_binary(text: str) -> bool:
    return len(_CONTROLS.findall(text)) > _TEXT_HAS_FEWER_CONTROLS_THAN * len(text)


def _other_encodings(data: bytes, encoding: str) -> list[str]:
    """What `data`, which is not in `encoding`, may be in instead; nothing if none is likely."""
    wide = _wide_encoding(data)
    if wide is not None:
        return [] if _is_wide(encoding) else [wide]
    if codecs.lookup(encoding).name.startswith("utf-8"):
        return ["cp1252", "latin-1"]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return ["latin-1"]
    return ["utf-8"]


def _is_wide(encoding: str) -> bool:
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def _wide_encoding(data: bytes) -> str | None:
    """The encoding of two or four bytes a character that `data` seems to be in, if it is one."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return encoding
    # Unmarked UTF-16 of a Latin text has a zero in every other byte, and in no other.
    low, high = data[:_EXCERPT:2], data[1:_EXCERPT:2]
    for encoding, zeros, others in (("utf-16-le", high, low), ("utf-16-be", low, high)):
        if zeros.count(0) > 0.5 * len(zeros) and others.count(0) == 0:
            return encoding
    return None
