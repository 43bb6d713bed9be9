"""Text of a model, made fit for any output."""

from __future__ import annotations

import re
import sys

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Text that any output takes: bytes that are no UTF-8 become the replacement character.

    So do control characters on a terminal, which a byte model could bring into disorder.
    """
    if text.isascii() and text.isprintable():
        return text
    if sys.stdout.isatty():
        text = CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
    return text.encode("utf-8", "replace").decode()
