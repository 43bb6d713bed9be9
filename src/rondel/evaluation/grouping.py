"""Group a text's tokens into units: characters, words, lines or the whole document.

Every token belongs to exactly one unit, so the units' surprisals sum to the text's. Where one word
ends and the next begins:

- A word is the text between white space, with the white space *after* it, which marks its end.
  White space at the very beginning of a text belongs to the first word; the last word of a text
  that ends without white space has no end.
- Where a token implies the space before it, as tokens do at word level, its probability covers two
  events: that the previous word has ended, and that this one follows. The first counts for the
  previous word, if that is scored.

Otherwise a word's surprisal would contain its predecessor's end instead of its own, and the
probabilities of all words would sum to more than one (Pimentel & Meister 2024; Oh & Schuler 2024).

Shapes: C characters, N tokens, U units, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans

UNITS = ("token", "character", "word", "line", "document")
Integers = npt.NDArray[np.int64]


class Grouping(NamedTuple):
    """Units of a text: begin and end of each in characters, and each token's unit."""

    spans: Spans
    unit_N: Integers
    ends_previous_N: npt.NDArray[np.bool_]
    """Tokens whose probability covers the end of the previous unit (see the module)."""


def group(tokenizer: Tokenizer, text: str, spans: Spans, by: str) -> Grouping:
    """Group the tokens of a text, given their `spans` (N, 2) in it, into units.

    Raises `InputError` for an unknown unit, or for one smaller than the tokens.
    """
    none_N = np.zeros(len(spans), np.bool_)
    if by == "token":
        return Grouping(spans, np.arange(len(spans)), none_N)
    if by == "character":
        if (spans[:, 1] - spans[:, 0] > 1).any():
            raise InputError(
                f"a {tokenizer.token_noun} is one token to this model: "
                "score by token, word, line or document, not by character"
            )
        places = np.arange(len(text))
        return Grouping(np.stack([places, places + 1], axis=1), spans[:, 0], none_N)
    if by == "line":
        bounds = line_bounds(text)
        unit_N = np.searchsorted(bounds[:, 0], spans[:, 0], side="right") - 1
        return Grouping(bounds, unit_N, none_N)
    if by == "document":
        return Grouping(np.array([[0, len(text)]]), np.zeros(len(spans), np.int64), none_N)
    if by == "word":
        return _group_by_word(text, spans)
    raise InputError(f"a text is scored by {', '.join(UNITS)}, not by {by!r}")


def line_bounds(text: str) -> Spans:
    """Begin and end of each line in characters, (lines, 2), line breaks included."""
    lengths = [len(line) + 1 for line in text.split("\n")]
    lengths[-1] -= 1
    if lengths[-1] == 0 and len(lengths) > 1:
        lengths.pop()
    ends = np.cumsum(lengths)
    return np.stack([ends - lengths, ends], axis=1)


def count_words(text: str) -> int:
    """The number of words separated by white space."""
    return len(text.split())


def tokens_implying_space(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """Which tokens (V,) imply a space before them when they follow a word."""
    previous = tokenizer.unknown_id or 0
    length = len(tokenizer.decode([previous]))
    pieces = (tokenizer.decode([previous, i])[length:] for i in range(tokenizer.vocab_size))
    return np.array([piece[:1].isspace() and bool(piece.strip()) for piece in pieces])


def _group_by_word(text: str, spans: Spans) -> Grouping:
    space_C = np.fromiter(map(str.isspace, text), np.bool_, len(text))
    starts_C = ~space_C & np.concatenate([[True], space_C[:-1]])[: len(text)]
    word_of_C = np.maximum(np.cumsum(starts_C) - 1, 0)
    begins_U = np.flatnonzero(starts_C)
    ends_U = np.flatnonzero(~space_C & np.concatenate([space_C[1:], [True]])[: len(text)]) + 1
    if not len(begins_U):
        begins_U, ends_U = np.array([0]), np.array([len(text)])
    # Each token's first character that is not white space, or its first if all of them are.
    letters = np.append(np.flatnonzero(~space_C), len(text))
    first_N = letters[np.searchsorted(letters, spans[:, 0])]
    blank_N = first_N >= spans[:, 1]
    first_N = np.where(blank_N, spans[:, 0], first_N)
    unit_N = word_of_C[first_N]
    ends_previous_N = np.zeros(len(spans), np.bool_)
    ends_previous_N[1:] = (unit_N[1:] > unit_N[:-1]) & ~blank_N[:-1]
    return Grouping(np.stack([begins_U, ends_U], axis=1), unit_N, ends_previous_N)
