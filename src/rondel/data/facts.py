"""The facts about a text on which the settings of a run depend."""

from __future__ import annotations

from typing import NamedTuple

from rondel.data.documents import Documents
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Ids


class TextFacts(NamedTuple):
    """The number of tokens in the training, validation and test split, and the vocabulary's size.

    A text of sentences has `sentences` (in the training split) and `longest_sentence` (in tokens);
    a text with document boundaries has `documents` (those of the training split).

    >>> TextFacts(vocab_size=65, train=1_000_000, validation=100_000).test
    0
    """

    vocab_size: int
    train: int
    validation: int = 0
    test: int = 0
    sentences: int | None = None
    longest_sentence: int | None = None
    documents: Documents | None = None


def facts_of_text(tokens: Ids, tokenizer: Tokenizer) -> TextFacts:
    """Return the facts of a stored training split (N,)."""
    return TextFacts(tokenizer.vocab_size, len(tokens))
