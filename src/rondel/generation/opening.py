"""What a text begins with where no prime is given: nothing of the training text that looks written.

A model whose training text had lines reads a line break first, which is not shown. Any other reads
a few tokens of its training text, which are shown, since the text would be cut without them.
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
    """What is read before the first token, and what of it the text begins with."""

    prime: str
    shown: str


def choose_opening(
    tokenizer: Tokenizer, excerpts: Sequence[str], seed: int | None, index: int = 0
) -> Opening:
    """The opening of text `index` of a seed; `ModelFolderError` if there are no excerpts."""
    if not excerpts:
        raise ModelFolderError("this model carries no excerpts of its text; give it a prime")
    draw = np.random.default_rng(None if seed is None else [seed, index])
    return opening_of(tokenizer, excerpts[int(draw.integers(len(excerpts)))])


def opening_of(tokenizer: Tokenizer, excerpt: str) -> Opening:
    """How a text begins by an excerpt: after its line breaks, or with at most half its tokens.

    Half, because an excerpt may be a whole line, as in the folders of earlier versions.
    """
    if not excerpt.strip(LINE_BREAK):
        return Opening(excerpt, "")
    # Bytes of one character all end where it does.
    ends = sorted(set(tokenizer.spans(excerpt)[:, 1].tolist()))
    prime = excerpt[: ends[min(MOST_TOKENS, max(1, len(ends) // 2)) - 1]]
    return Opening(prime, prime)


def opening_with(prime: str) -> Opening:
    """The opening of a text that goes on from a prime which was given: all of it is shown."""
    return Opening(prime, prime)
