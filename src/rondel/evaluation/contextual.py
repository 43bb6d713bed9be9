"""Contextual embeddings: a bidirectional model's states at each token and each word.

Shapes: N tokens, W words, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rondel.engine.base import Floats
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.evaluation.grouping import word_spans
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans


@dataclass(frozen=True)
class Embeddings:
    """The last layer's states (float32) at the tokens and words of a text, in text order.

    `forward` (N, H) are the states after reading the token and all before it, `backward` (N, H)
    after the token and all that follow it. Words are separated by white space: `word_forward`
    (W, H) are the states at each word's last token, `word_backward` (W, H) at its first, so that
    both have read the whole word (Akbik et al. 2018). `spans` (N, 2) and `word_spans` (W, 2) are
    the tokens' and words' begin and end in the text, in characters.

    ::

        found = model.embed("The rain in Spain.")
        found.word_forward.shape            # (4, H)
    """

    text: str
    spans: Spans
    forward: Floats
    backward: Floats
    word_spans: Spans
    word_forward: Floats
    word_backward: Floats

    @property
    def words(self) -> list[str]:
        """The words (W) of the text."""
        return [self.text[begin:end] for begin, end in self.word_spans.tolist()]

    def by_token(self) -> Floats:
        """Forward and backward states side by side, (N, 2H)."""
        return np.concatenate([self.forward, self.backward], axis=1)

    def by_word(self) -> Floats:
        """Forward and backward states of the words side by side, (W, 2H)."""
        return np.concatenate([self.word_forward, self.word_backward], axis=1)


def embed(
    engine: BidirectionalEngine, tokenizer: Tokenizer, texts: Sequence[str]
) -> list[Embeddings]:
    """Embed the tokens and words of each text. Texts are read independently, in batches."""
    outputs = engine.outputs([tokenizer.encode(text) for text in texts])
    return [
        _embeddings(tokenizer, text, forward_NH, backward_NH)
        for text, (forward_NH, backward_NH) in zip(texts, outputs, strict=True)
    ]


def _embeddings(
    tokenizer: Tokenizer, text: str, forward_NH: Floats, backward_NH: Floats
) -> Embeddings:
    spans = tokenizer.spans(text)
    words = word_spans(text)
    firsts_W = np.searchsorted(spans[:, 1], words[:, 0], side="right")
    lasts_W = np.searchsorted(spans[:, 0], words[:, 1], side="left") - 1
    return Embeddings(
        text,
        spans,
        forward_NH,
        backward_NH,
        words,
        forward_NH[lasts_W],
        backward_NH[firsts_W],
    )
