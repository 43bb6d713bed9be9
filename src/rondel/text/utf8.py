"""Text and its bytes: lone surrogates (`surrogateescape`) represent invalid UTF-8."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

# `surrogateescape` maps the bytes 0x80 … 0xFF to U+DC80 … U+DCFF; these are the other surrogates.
NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
LONE = re.compile("[\ud800-\udfff]")


def bytes_of(text: str) -> bytes:
    """Return the bytes of a text; U+FFFD for a lone surrogate that does not represent a byte."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return NO_BYTE.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "surrogateescape")


def characters_of_bytes(text: str) -> npt.NDArray[np.int64]:
    """Return, for each byte of a text, the index of its character: (bytes,)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    lengths = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    lengths[(codes >= 0xDC80) & (codes <= 0xDCFF)] = 1  # represents one byte
    return np.repeat(np.arange(len(text)), lengths)
