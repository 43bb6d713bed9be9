r"""Splitting a text into pieces, within which subwords are found, and the characters of bytes.

A piece is a word with the space before it, up to three digits, or a run of punctuation, of blanks,
or of line breaks: no token crosses its boundaries, and a line break is never in a token with
anything else. Pieces are found by a regular expression in the tokenizer's file, and their bytes are
written as the 256 characters of GPT-2 (Radford et al. 2019), so that any byte-level implementation
can read the file.

White space is Unicode's White_Space property, spelled out, because `\s` differs between the two
regular expression engines that have to agree on it.
"""

from __future__ import annotations

import re
from typing import Any

BLANK = "\t\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space except the line break, as the inside of a character class."""

LETTERS, REST = r"[\p{L}\p{M}]{1,40}", rf"[^\n{BLANK}\p{{L}}\p{{M}}\p{{N}}]{{1,16}}"
PIECE = (
    rf"\n{{1,16}}| ?{LETTERS}(?:['’]{LETTERS})?| ?\p{{N}}{{1,3}}| ?{REST}"
    rf"|[{BLANK}]{{1,40}}(?![^\n{BLANK}])|[{BLANK}]"
)
"""In the syntax of Oniguruma. Runs have limits, so that no word takes long to encode."""

CHUNK = re.compile(rf"\n+|[{BLANK}]*[^\n{BLANK}]+|[{BLANK}]+")
"""One or more whole pieces, in Python's syntax; how a chunk is split does not depend on the text
around it."""

BORDER = re.compile(r"(?<=\n)(?!\n)|(?<=\S)(?=[ \n])")
REACH = 256
"""Characters that are searched first for a border."""

PRE_TOKENIZER: dict[str, Any] = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": PIECE}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
    ],
}
DECODER: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": False,
}


def _byte_characters() -> list[str]:
    """Return the character of every byte: itself if it is visible, otherwise from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in visible else next(others)) for byte in range(256)]


BYTE_CHARACTERS = _byte_characters()
BYTE_OF = {character: byte for byte, character in enumerate(BYTE_CHARACTERS)}


def as_characters(text: str) -> str:
    """Write the UTF-8 bytes of a text as their characters."""
    return "".join(map(BYTE_CHARACTERS.__getitem__, text.encode("utf-8", "replace")))


def last_border(text: str, near: int) -> int:
    """Return the last place at or before `near` between two chunks; 0 if there is none.

    Text after the given one cannot change it.
    """
    near, reach = min(near, len(text) - 1), REACH
    while near > 0:
        begin = max(0, near - reach)
        places = [match.start() for match in BORDER.finditer(text, begin, near + 1)]
        found = [place for place in places[-2:] if 0 < place <= near]
        if found or not begin:
            return found[-1] if found else 0
        reach *= 4
    return 0
