"""What a text begins with if no prime is given, so that no training text passes as written.

A model whose training text had lines first reads a line break, which is not shown. Any other model
first reads a few tokens of its training text, which are shown as the beginning of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rondel.errors import ModelFolderError
from rondel.text.tokenizers import Tokenizer

LINE_BREAK = "\n"
MOST_TOKENS = 4


class Opening(NamedTuple):
    """What the model reads before the first token, and how much of it is shown."""

    prime: str
    shown: str


def choose_opening(
    tokenizer: Tokenizer, excerpts: Sequence[str], seed: int | None, index: int = 0
) -> Opening:
    """Draw the opening of text `index` of a seed; `ModelFolderError` if there are no excerpts."""
    if not excerpts:
        raise ModelFolderError("this model carries no excerpts of its text; give it a prime")
    draw = np.random.default_rng(None if seed is None else [seed, index])
    return opening_of(tokenizer, excerpts[int(draw.integers(len(excerpts)))])


def opening_of(tokenizer: Tokenizer, excerpt: str) -> Opening:
    """Return the opening made of an excerpt: its line breaks, hidden, or its first tokens, shown.

    At most half its tokens, because an excerpt of an earlier version may be a whole line.
    """
    if not excerpt.strip(LINE_BREAK):
        return Opening(excerpt, "")
    # Bytes of one character all end where it does.
    ends = sorted(set(tokenizer.spans(excerpt)[:, 1].tolist()))
    prime = excerpt[: ends[min(MOST_TOKENS, max(1, len(ends) // 2)) - 1]]
    return Opening(prime, prime)


def opening_with(prime: str) -> Opening:
    """Return the opening for a given prime: all of it is shown."""
    return Opening(prime, prime)
