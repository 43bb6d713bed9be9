"""Text as its bytes: those that are no UTF-8 stand in it as lone surrogates (`surrogateescape`)."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

# `surrogateescape` writes the bytes 0x80 … 0xFF as U+DC80 … U+DCFF; the others stand for no byte.
NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
LONE = re.compile("[\ud800-\udfff]")


def bytes_of(text: str) -> bytes:
    """The bytes of a text; U+FFFD for a lone surrogate that stands for none."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return NO_BYTE.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "surrogateescape")


def characters_of_bytes(text: str) -> npt.NDArray[np.int64]:
    """Which character of a text each of its bytes is of, (bytes,)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    lengths = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    lengths[(codes >= 0xDC80) & (codes <= 0xDCFF)] = 1  # a byte of its own
    return np.repeat(np.arange(len(text)), lengths)
