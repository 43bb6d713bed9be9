"""What a text's tokens are gathered into: characters, words, lines or the whole document.

Every token belongs to one unit, so that the units of a text sum to the text. Where one word ends
and the next begins:

- A word is what stands between white space, with the white space *after* it: a word has not been
  said until something says that it is over. White space at the very beginning of a text goes with
  the first word; the last word of a text that ends without white space lacks its end.
- Where a token implies the space before it, as tokens do at word level, its probability holds two
  events: that the last word is over, and that this one comes. The first goes to the last word, if
  that is scored.

Otherwise a word's surprisal would lack its own end and hold its neighbour's, and the probabilities
of all words would sum to more than one (Pimentel & Meister 2024; Oh & Schuler 2024).

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
    """Units of a text: where each begins and ends in characters, and the unit of every token."""

    spans: Spans
    of_N: Integers
    after_gap_N: npt.NDArray[np.bool_]
    """Tokens whose probability holds the end of the unit before, as said above."""


def group(tokenizer: Tokenizer, text: str, spans: Spans, by: str) -> Grouping:
    """Gather the tokens of a text, which stand at `spans` (N, 2), into units.

    Raises `InputError` for a unit that there is not, or that the tokens are larger than.
    """
    no_gaps = np.zeros(len(spans), np.bool_)
    if by == "token":
        return Grouping(spans, np.arange(len(spans)), no_gaps)
    if by == "character":
        if (spans[:, 1] - spans[:, 0] > 1).any():
            raise InputError(
                f"a {tokenizer.token_noun} is one token to this model: "
                "score by token, word, line or document, not by character"
            )
        places = np.arange(len(text))
        return Grouping(np.stack([places, places + 1], axis=1), spans[:, 0], no_gaps)
    if by == "line":
        bounds = line_bounds(text)
        of_N = np.searchsorted(bounds[:, 0], spans[:, 0], side="right") - 1
        return Grouping(bounds, of_N, no_gaps)
    if by == "document":
        return Grouping(np.array([[0, len(text)]]), np.zeros(len(spans), np.int64), no_gaps)
    if by == "word":
        return _words(text, spans)
    raise InputError(f"a text is scored by {', '.join(UNITS)}, not by {by!r}")


def line_bounds(text: str) -> Spans:
    """Where each line begins and ends (lines, 2), its line break within."""
    lengths = [len(line) + 1 for line in text.split("\n")]
    lengths[-1] -= 1
    if lengths[-1] == 0 and len(lengths) > 1:
        lengths.pop()
    ends = np.cumsum(lengths)
    return np.stack([ends - lengths, ends], axis=1)


def count_words(text: str) -> int:
    """How many stretches without white space a text has."""
    return len(text.split())


def tokens_after_gap(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """Which tokens (V,), after a word, imply a space before them."""
    previous = tokenizer.unknown_id or 0
    before = len(tokenizer.decode([previous]))
    pieces = (tokenizer.decode([previous, i])[before:] for i in range(tokenizer.vocab_size))
    return np.array([piece[:1].isspace() and bool(piece.strip()) for piece in pieces])


def _words(text: str, spans: Spans) -> Grouping:
    space_C = np.fromiter(map(str.isspace, text), np.bool_, len(text))
    starts_C = ~space_C & np.concatenate([[True], space_C[:-1]])[: len(text)]
    word_of_C = np.maximum(np.cumsum(starts_C) - 1, 0)
    begins_U = np.flatnonzero(starts_C)
    ends_U = np.flatnonzero(~space_C & np.concatenate([space_C[1:], [True]])[: len(text)]) + 1
    if not len(begins_U):
        begins_U, ends_U = np.array([0]), np.array([len(text)])
    # The first character of each token that is not white space; its first, if all of them are.
    solid = np.append(np.flatnonzero(~space_C), len(text))
    first_N = solid[np.searchsorted(solid, spans[:, 0])]
    blank_N = first_N >= spans[:, 1]
    first_N = np.where(blank_N, spans[:, 0], first_N)
    of_N = word_of_C[first_N]
    after_gap_N = np.zeros(len(spans), np.bool_)
    after_gap_N[1:] = (of_N[1:] > of_N[:-1]) & ~blank_N[:-1]
    return Grouping(np.stack([begins_U, ends_U], axis=1), of_N, after_gap_N)
