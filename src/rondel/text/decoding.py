"""Decoding the bytes of a file as text, block by block, with errors that suggest a remedy."""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from rondel.errors import InputError

MARK = "\ufeff"

# Control characters that texts do not have: all but white space and escape.
_CONTROLS = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
EXCERPT = 65_536
"""Characters, or bytes, at the beginning of a file by which it is judged."""
_TEXT_HAS_FEWER_CONTROLS_THAN = 0.1
_BYTES_INSTEAD = "or train on its bytes as they are with --level byte"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def check_encoding(encoding: str) -> None:
    """Raise `InputError` for an unknown encoding."""
    try:
        "a".encode(encoding)
    except (LookupError, ValueError):
        raise InputError(
            f"no text encoding is called {encoding!r}; try utf-8, utf-16, cp1252 or latin-1"
        ) from None


def is_utf8(encoding: str) -> bool:
    """Return whether an encoding is UTF-8, with or without a byte order mark."""
    # utf-8-sig differs only by the mark; its decoder counts offsets from after it.
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def decode(name: str, blocks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Yield the text of a file, block by block, with its byte order mark and line ends.

    Raises `InputError` if it is not text in this encoding.
    """
    return (text for text, _ in decode_to(name, blocks, encoding))


def decode_to(
    name: str, blocks: Iterable[bytes], encoding: str, head: bytes = b"", offset: int = 0
) -> Iterator[tuple[str, int]]:
    """As `decode`, each block of text with the number of bytes that it ends at.

    What stood before the blocks, if anything did, had so many bytes, and began with `head`.
    """
    decoder: Any = None
    looked_at, controls = offset, 0
    for block in _and_an_end(blocks):
        head = head or block[:EXCERPT]
        decoder = decoder or _decoder(encoding, head)
        held = decoder.getstate()[0]
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError as error:
            at = offset - len(held) + error.start
            raise _undecodable(name, head, error.object, encoding, error.start, at) from None
        except UnicodeError as error:
            raise InputError(f"{name} cannot be decoded as {encoding}: {error}") from None
        offset += len(block)
        if "\0" in text:
            raise _binary(name, head, encoding)
        if looked_at < EXCERPT:
            excerpt = text[: EXCERPT - looked_at]
            looked_at += len(excerpt)
            controls += _count_controls(excerpt)
            judged = looked_at == EXCERPT or not block
            if judged and _too_many(controls, looked_at):
                raise _binary(name, head, encoding)
        if text:
            yield text, offset - len(decoder.getstate()[0])


def normalised(texts: Iterable[str], *, first: bool = True) -> Iterator[str]:
    r"""A text in blocks without a byte order mark, its line ends as one `\n` each.

    The mark may stand before the `first` block, unless something stands there already.
    """
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    for text in texts:
        plain = newlines.decode(text.removeprefix(MARK) if first else text)
        first = False
        if plain:
            yield plain
    if rest := newlines.decode("", final=True):
        yield rest


def has_controls(excerpt: str) -> bool:
    """Whether an excerpt has a zero, or more control characters than a text has."""
    return "\0" in excerpt or _too_many(_count_controls(excerpt), len(excerpt))


def _and_an_end(blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield from blocks
    yield b""


def _decoder(encoding: str, head: bytes) -> Any:
    name = "utf-8" if is_utf8(encoding) else codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32") and _MARKS.get(head[: int(name[4:]) // 8]) is None:
        name += "-le" if sys.byteorder == "little" else "-be"  # as `bytes.decode` takes them
    return codecs.getincrementaldecoder(name)()


def _undecodable(
    name: str, head: bytes, data: bytes, encoding: str, place: int, offset: int
) -> InputError:
    excerpt = head.decode("latin-1")
    is_wide = _wide_encoding(head) is not None or _is_wide(encoding)
    if not is_wide and has_controls(excerpt):
        return _binary(name, head, encoding)
    others = " or ".join(f"--encoding {other}" for other in _other_encodings(head, data, encoding))
    remedy = f"try {others}, {_BYTES_INSTEAD}" if others else "get a whole copy of it"
    return InputError(
        f"{name}: the byte 0x{data[place]:02x} at offset {offset} is not {encoding}; {remedy}"
    )


def _binary(name: str, head: bytes, encoding: str) -> InputError:
    wide = _wide_encoding(head)
    if wide is not None and not _is_wide(encoding):
        return InputError(f"{name} looks like {wide}; try --encoding {wide}, {_BYTES_INSTEAD}")
    return InputError(f"{name} is binary, not text; save it as plain text, {_BYTES_INSTEAD}")


def _count_controls(text: str) -> int:
    return len(_CONTROLS.findall(text))


def _too_many(controls: int, characters: int) -> bool:
    return controls > _TEXT_HAS_FEWER_CONTROLS_THAN * characters


def _other_encodings(head: bytes, data: bytes, encoding: str) -> list[str]:
    """Return the likely encodings of `data`, which is not in `encoding`."""
    wide = _wide_encoding(head)
    if wide is not None:
        return [] if _is_wide(encoding) else [wide]
    if codecs.lookup(encoding).name.startswith("utf-8"):
        return ["cp1252", "latin-1"]
    inside = 0 if head.startswith(data[:EXCERPT]) else 3  # a block may begin in a character
    begin = next((i for i in range(inside) if data[i : i + 1] < b"\x80" or data[i] >= 0xC0), 0)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data[begin:])
    except UnicodeDecodeError:
        return ["latin-1"]
    return ["utf-8"]


def _is_wide(encoding: str) -> bool:
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def _wide_encoding(head: bytes) -> str | None:
    """Return the encoding of two or four bytes a character that a file seems to have, if any."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    # UTF-16 of a Latin text without a mark has zeros in every other byte only.
    low, high = head[:EXCERPT:2], head[1:EXCERPT:2]
    for encoding, zeros, others in (("utf-16-le", high, low), ("utf-16-be", low, high)):
        if zeros.count(0) > 0.5 * len(zeros) and others.count(0) == 0:
            return encoding
    return None
