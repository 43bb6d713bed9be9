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

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans

UNITS = ("token", "character", "word", "line", "document")
LINE_BREAK = ord("\n")
WHITE_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])
"""Which characters (by code point) are white space; the last stands for all above."""
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Grouping(NamedTuple):
    """The units of a block of a document: those that begin and end in it, and its tokens'.

    Units are numbered from 0, in a document.
    """

    first: int
    """The number of the first unit that begins in the block, if one does."""
    begins_U: Integers
    """Where they begin, in characters of the block."""
    first_ended: int
    """The number of the first unit that ends in the block, if one does."""
    ends_U: Integers
    """Where they end; a unit that goes up to the document's end is not among them."""
    unit_N: Integers
    ends_previous_N: Flags
    """Tokens whose probability covers the end of the previous unit (see the module)."""


@dataclass
class Grouper:
    """Groups the tokens of a document into units, block by block.

    Its fields say how far it has come. Raises `InputError` for an unknown unit.
    """

    by: str
    begun: int = 0
    """Units that have begun."""
    ended: int = 0
    at_border: bool = True
    """Whether the next character begins a unit; of words, if it is not white space."""
    last_unit: int = 0
    last_is_blank: bool = True
    """Of the last token: its unit, and whether it is white space."""

    def __post_init__(self) -> None:
        if self.by not in UNITS:
            raise InputError(f"a text is scored by {', '.join(UNITS)}, not by {self.by!r}")

    def group(self, tokenizer: Tokenizer, text: str, spans: Spans) -> Grouping:
        """Group the tokens of the next block, given their `spans` (N, 2) in its text.

        Raises `InputError` for a unit that is smaller than a token.
        """
        if self.by == "character" and (spans[:, 1] - spans[:, 0] > 1).any():
            raise InputError(
                f"a {tokenizer.token_noun} is one token to this model: "
                "score by token, word, line or document, not by character"
            )
        if self.by == "word":
            return self._words(white_space(text), spans)
        codes_C = code_points(text)
        starts_C = np.zeros(len(codes_C), np.bool_)
        if self.by == "character":
            starts_C[:] = True
        elif self.by == "line":
            starts_C[1:] = codes_C[:-1] == LINE_BREAK
            starts_C[:1] = self.at_border
            self.at_border = bool(codes_C[-1] == LINE_BREAK)
        else:
            starts_C[:1] = self.at_border
            self.at_border = False
        first, units_C = self.begun, self.begun + np.cumsum(starts_C) - 1
        begins_U = np.flatnonzero(starts_C)
        # Every unit ends where the next begins; the document's first ends none.
        ends_U = begins_U if first else begins_U[1:]
        first_ended, self.begun = self.ended, first + len(begins_U)
        self.ended += len(ends_U)
        unit_N = units_C[spans[:, 0]]
        return Grouping(
            first, begins_U, first_ended, ends_U, unit_N, np.zeros(len(spans), np.bool_)
        )

    def _words(self, space_C: Flags, spans: Spans) -> Grouping:
        outside_C = np.concatenate([[self.at_border], space_C])[:-1]
        starts_C, ends_C = ~space_C & outside_C, space_C & ~outside_C
        first, first_ended = self.begun, self.ended
        begins_U, ends_U = np.flatnonzero(starts_C), np.flatnonzero(ends_C)
        units_C = np.maximum(first + np.cumsum(starts_C) - 1, 0)
        self.begun, self.ended = first + len(begins_U), first_ended + len(ends_U)
        self.at_border = bool(space_C[-1])
        # Each token's first character that is not white space, or its first if all of them are.
        letters = np.append(np.flatnonzero(~space_C), len(space_C))
        first_N = letters[np.searchsorted(letters, spans[:, 0])]
        blank_N = first_N >= spans[:, 1]
        unit_N = units_C[np.where(blank_N, spans[:, 0], first_N)]
        previous_N = np.concatenate([[self.last_unit], unit_N])[:-1]
        after_blank_N = np.concatenate([[self.last_is_blank], blank_N])[:-1]
        if len(spans):
            self.last_unit, self.last_is_blank = int(unit_N[-1]), bool(blank_N[-1])
        ends_previous_N = (unit_N > previous_N) & ~after_blank_N
        return Grouping(first, begins_U, first_ended, ends_U, unit_N, ends_previous_N)


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text (C,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def white_space(text: str) -> Flags:
    """Which characters of a text (C,) are white space."""
    space_C: Flags = WHITE_SPACE[np.minimum(code_points(text), len(WHITE_SPACE) - 1)]
    return space_C


def word_spans(text: str) -> Spans:
    """Begin and end of each word in characters, (words, 2), white space not included."""
    changes = np.diff(~white_space(text), prepend=False, append=False)
    return np.flatnonzero(changes).reshape(-1, 2)


def count_words(text: str) -> int:
    """The number of words separated by white space."""
    return len(text.split())


def tokens_implying_space(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """Which tokens (V,) imply a space before them when they follow a word."""
    previous = tokenizer.unknown_id or 0
    length = len(tokenizer.decode([previous]))
    pieces = (tokenizer.decode([previous, i])[length:] for i in range(tokenizer.vocab_size))
    return np.array([piece[:1].isspace() and bool(piece.strip()) for piece in pieces])
