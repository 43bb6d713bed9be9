"""Files of word vectors as word2vec writes them, text or binary, and text without a header (GloVe).

Text has a line for each word: the word and its numbers, separated by single spaces. A header has
the number of words and of numbers per word; GloVe leaves it out. A binary file also has the header;
then for each word its UTF-8, a space, and its numbers as little-endian float32.

Shapes: W words of the file, E numbers of a vector.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError

Floats = npt.NDArray[np.floating[Any]]
Entries = Iterator[tuple[str, npt.NDArray[np.float32]]]
"""Words and their vectors (E,)."""

HEAD = 1 << 16
"""Bytes by which the format is recognised, and bytes read at a time from a binary file."""
MOST_NUMBERS = 1_000_000
"""The most numbers of a vector; a header that says more is damaged."""
LINES = 100
"""Lines from which the number of numbers is found, without a header."""

# Characters that a word in a file cannot have, and text that would be read as an escape.
_UNWRITABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]|<(?=U\+[0-9A-F]{4}>)")
_ESCAPED = re.compile(r"<U\+([0-9A-F]{4})>")
_DECIMAL = re.compile(rb"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


def escaped(token: str) -> str:
    """Escape a token for a file: a line break in it becomes `<U+000A>`, a space `<U+0020>`."""
    return _UNWRITABLE.sub(lambda match: f"<U+{ord(match.group()):04X}>", token)


def unescaped(word: str) -> str:
    """Undo `escaped`."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), word)


def word2vec_bytes(words: Sequence[str], matrix_WE: Floats, *, binary: bool = False) -> bytes:
    """Encode a word2vec file, text or binary; numbers in text are read back as the same float32."""
    matrix_WE = np.asarray(matrix_WE, "<f4")
    file = io.BytesIO()
    file.write("{} {}\n".format(*matrix_WE.shape).encode())
    for word, row_E in zip(words, matrix_WE, strict=True):
        file.write(f"{escaped(word)} ".encode())
        file.write(row_E.tobytes() if binary else " ".join(map(str, row_E)).encode())
        file.write(b"\n")
    return file.getvalue()


def read_word2vec(path: Path, file: BinaryIO) -> tuple[list[str], Floats]:
    """Read words and their vectors (W, E), float32, from the open file at `path`.

    Of equal words, the first counts. The format is recognised by the first two lines. Raises
    `InputError`, naming the line, if the file has no such format or is damaged.
    """
    head = file.read(HEAD)
    file.seek(0)
    first, _, rest = head.partition(b"\n")
    header = first.split()
    if len(header) == 2 and all(field.isdigit() for field in header):
        count, size = map(int, header)
        if not count or not 0 < size <= MOST_NUMBERS:
            raise InputError(
                f"{path} is damaged: it announces {count:,} vectors of {size:,} numbers"
            )
        read = _text_entries if _is_text(rest.partition(b"\n")[0], size) else _binary_entries
        file.readline()
        entries = read(path, file, size, count)
    else:
        size = _numbers_a_line(head)
        if not size:
            raise InputError(
                f"{path} holds no word vectors: it is neither a word2vec file, text or binary, "
                "nor what gensim's KeyedVectors.save writes"
            )
        entries = _text_entries(path, file, size, None)
    place: dict[str, int] = {}
    numbers = array("f")
    for word, row_E in entries:
        if word not in place:
            place[word] = len(place)
            numbers.frombytes(row_E.tobytes())
    words = list(map(unescaped, place))
    return words, np.frombuffer(numbers, np.float32).reshape(len(words), size)


def _is_text(line: bytes, size: int) -> bool:
    """Return whether the line after the header, which may be cut off, is of the text format.

    A line with invalid UTF-8 in its word or in a number also counts as text: that is an error in
    the line, not another format.
    """
    if 2 * sum(map(_is_number, line.split(b" ")[1:])) >= max(size, 1):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(line)
    except UnicodeDecodeError:
        return False
    return not any(unicodedata.category(c) == "Cc" and c not in "\t\r" for c in set(text))


def _numbers_a_line(head: bytes) -> int:
    """Return how many numbers most of the first lines end with, after a word."""
    lines = head.split(b"\n")[:LINES]
    counts = Counter(_numbers_at_end(line) for line in lines[: max(1, len(lines) - 1)])
    return counts.most_common(1)[0][0]


def _numbers_at_end(line: bytes) -> int:
    fields = line.rstrip().split(b" ")[1:]
    others = (place for place, field in enumerate(reversed(fields)) if not _is_number(field))
    return next(others, len(fields))


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _text_entries(path: Path, file: BinaryIO, size: int, count: int | None) -> Entries:
    """Yield the entries of the remaining lines, whose last `size` fields are numbers."""
    first = 1 if count is None else 2
    number = first - 1
    for number, line in enumerate(file, first):
        fields = line.rstrip().split(b" ")
        # A word may have spaces in it; but if it seems to have numbers, the line is damaged.
        surplus = any(_DECIMAL.fullmatch(part) for part in fields[1:-size])
        if len(fields) <= size or surplus:
            raise InputError(
                f"{path}: line {number} has {len(fields) - 1} numbers instead of {size}"
            )
        word = _decoded(path, f"line {number}", b" ".join(fields[:-size]))
        try:
            values = list(map(float, fields[-size:]))
        except ValueError:
            bad = next(field for field in fields[-size:] if not _is_number(field))
            shown = bad.decode(errors="backslashreplace")
            raise InputError(f"{path}: line {number} has '{shown}' for a number") from None
        with np.errstate(over="ignore"):
            yield word, np.array(values, np.float32)
    found = number - first + 1
    if count is not None and found != count:
        how = "cut short" if found < count else "damaged"
        raise InputError(f"{path} is {how}: it announces {count:,} vectors and has {found:,}")


def _binary_entries(path: Path, file: BinaryIO, size: int, count: int) -> Entries:
    data, place = b"", 0
    for number in range(1, count + 1):
        space = data.find(b" ", place)
        while space < 0 or len(data) <= space + 4 * size:
            more = file.read(HEAD)
            if not more or (space < 0 and len(data) - place > HEAD):
                raise InputError(f"{path} is cut short or damaged at its word {number:,}")
            data, place = data[place:] + more, 0
            space = data.find(b" ")
        # Some writers end each vector with a line break.
        word = _decoded(path, f"word {number:,}", data[place:space].lstrip(b"\n"))
        place = space + 1 + 4 * size
        yield word, np.frombuffer(data, "<f4", size, space + 1).astype(np.float32)
    if (data[place:] + file.read(HEAD)).strip():
        raise InputError(f"{path} is damaged: it has more than the {count:,} vectors it announces")


def _decoded(path: Path, where: str, word: bytes) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: {where} is not UTF-8 (byte 0x{word[error.start]:02x}); correct it, or "
            "convert the file to UTF-8"
        ) from None
