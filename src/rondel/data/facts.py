"""What of a text decides the settings of a run."""

from __future__ import annotations

from typing import NamedTuple

from rondel.data.documents import Documents
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Ids


class TextFacts(NamedTuple):
    """Tokens of the training, validation and test part of a text, and how many different ones.

    `sentences` (of the training part) and `longest_sentence` (in tokens) are a text of sentences';
    `documents` (of the training part) are a text's that has borders between some.

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
    """The facts of a stored training part (N,)."""
    return TextFacts(tokenizer.vocab_size, len(tokens))
