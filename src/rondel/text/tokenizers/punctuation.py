"""Splits words from punctuation, and records with a joiner where two of them touch.

Words are letters, digits, underscores, combining marks and inner apostrophes; punctuation is a run
of the same character. See `rondel.text.tokenizers.word` for the joiner.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from typing import NamedTuple

UNKNOWN = "<unk>"
JOINER = "\uffed"
LITERAL_JOINER = "<U+FFED>"
"""Spells a ￭ of the text. No token looks like it, since words and punctuation do not mix."""

MARKS_RANGE = "\u0300-\U000e01ef"
"""From the first combining mark to the last, as a range of `re`."""

ENDING_MARKS = frozenset(".,;:!?")


class Piece(NamedTuple):
    """A token's text, and whether it is written without a space before and after it."""

    text: str
    glued_before: bool
    glued_after: bool


def split_punctuation(chunk: str) -> list[str]:
    """Split a text without white space into words and punctuation, with joiners where they touch.

    Of two punctuation tokens that touch, the second has the joiner, unless the first is an opening
    bracket or quote.
    """
    # Most are a word and a mark after it.
    if chunk[-1] in ENDING_MARKS and chunk[:-1].isalnum():
        return [chunk[:-1], JOINER + chunk[-1]]
    tokens: list[str] = []
    is_word: list[bool] = []
    # One by one, so that other threads can run in between.
    for match in word_or_punctuation().finditer(chunk):
        tokens.append(match.group())
        is_word.append(match.lastgroup == "word")
    opens = [_is_opening(token) for token in tokens]
    for i, token in enumerate(tokens):
        if not is_word[i]:
            before = i > 0 and (is_word[i - 1] or not opens[i - 1])
            after = i + 1 < len(tokens) and (is_word[i + 1] or opens[i])
            spelled = LITERAL_JOINER if token == JOINER else token
            tokens[i] = JOINER * before + spelled + JOINER * after
    return tokens


def piece_of(token: str, marked: bool) -> Piece:
    """Return how a token is written; with `marked`, its joiners are not part of the text."""
    if token.isspace():
        return Piece(token, True, True)
    if not marked:
        return Piece(token, False, False)
    before, after = token.startswith(JOINER), token.endswith(JOINER)
    text = token.strip(JOINER)
    return Piece(JOINER if text == LITERAL_JOINER else text, before, after)


def _is_opening(token: str) -> bool:
    return unicodedata.category(token[0]) in ("Ps", "Pi")


@functools.cache
def word_or_punctuation() -> re.Pattern[str]:
    """Return the pattern of the tokens of a chunk; its group `word` matches words.

    Two words must not touch, since only punctuation has joiners; so `<unk>` is a word only if it
    touches no other word.
    """
    # For speed: the class of combining marks is searched linearly, so their range is tested first.
    # What cannot begin a word is punctuation (group `mark`).
    marks = _combining_marks()
    letter = rf"[\w{marks}\u200c\u200d]"  # the zero-width joiners of Persian and Indian scripts
    return re.compile(
        rf"(?P<word>(?=<)(?<!{letter})(?<!{UNKNOWN}){UNKNOWN}(?!{letter})"
        rf"|(?=[\w{MARKS_RANGE}]){letter}+(?:['’]{letter}+)*)"
        rf"|{JOINER}|(?P<mark>\S)(?P=mark)*(?:(?=[{MARKS_RANGE}])[{marks}]+)?"
    )


def _combining_marks() -> str:
    """Return all combining marks (Unicode's Mn, Mc and Me), which `\\w` does not match.

    They are written as the ranges of a class in `re`.
    """
    # Outside these ranges there are none; a search of all of Unicode takes ten times as long.
    codes = itertools.chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0))
    ranges: list[list[int]] = []
    for code in codes:
        if unicodedata.category(chr(code)).startswith("M"):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
