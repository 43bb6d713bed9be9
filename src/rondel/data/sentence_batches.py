"""Batches of whole sentences, of about the same length each.

Shapes: T time (steps), B sentences, N tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rondel.data.batches import PADDING, Batch, Cursor
from rondel.data.facts import TextFacts
from rondel.data.store import Ids
from rondel.errors import InputError
from rondel.settings import TrainingConfig
from rondel.text.one_sentence import end_id
from rondel.text.tokenizers import Tokenizer

POOL = 64
"""Batches whose sentences are sorted by length together: enough for little padding, and not so many
that the same sentences would always meet."""


class Sentences(Sequence[Ids]):
    """The sentences of a stored text: each its tokens, and the symbol that ends it.

    That symbol (`end_id`) stands before the first sentence and after every one.
    """

    def __init__(self, tokens: Ids, end_id: int) -> None:
        self._tokens, self.end_id = tokens, end_id
        self._ends = np.flatnonzero(np.asarray(tokens) == end_id) + 1
        self._begins = np.concatenate([[0], self._ends[:-1]]) if len(self._ends) else self._ends

    @property
    def lengths(self) -> Ids:
        """Of each sentence (N,), the end counted."""
        return self._ends - self._begins

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Ids:  # type: ignore[override]
        return self._tokens[self._begins[number] : self._ends[number]]

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Some of the sentences side by side: the decoder's inputs, and what it is to write.

        Inputs begin with the symbol that ends a sentence, targets end with it; past that they are
        padding, which no loss counts.
        """
        own = [self[number] for number in numbers]
        targets_TB = np.full((max(map(len, own)), len(own)), PADDING, np.int64)
        inputs_TB = np.full(targets_TB.shape, self.end_id, np.int64)
        for b, sentence in enumerate(own):
            targets_TB[: len(sentence), b] = sentence
            inputs_TB[1 : len(sentence), b] = sentence[:-1]
        return Batch(inputs_TB, targets_TB, fresh=True)

    def in_order_of_length(self, batch_size: int) -> Iterator[list[int]]:
        """All sentences in batches, the shortest first."""
        order = np.argsort(self.lengths, kind="stable").tolist()
        for begin in range(0, len(order), batch_size):
            yield order[begin : begin + batch_size]


def batches_per_epoch(sentences: int, batch_size: int) -> int:
    """How many batches make one pass; the last may be smaller."""
    return -(-sentences // batch_size)


def sentence_batches(
    sentences: Sentences, batch_size: int, seed: int, cursor: Cursor
) -> Iterator[tuple[Batch, Cursor]]:
    """Endless batches, each with the cursor of the one after it; each pass in an order of its own.

    That order depends on the seed and the number of the pass alone. Raises `InputError` if there
    is no sentence.
    """
    if not len(sentences):
        raise InputError("there is no sentence to train on; give it a longer text")
    while True:
        order = _order(sentences, batch_size, np.random.default_rng([seed, cursor.epoch]))
        for number in range(cursor.chunk, len(order)):
            last = number + 1 == len(order)
            following = Cursor(cursor.epoch + 1, 0) if last else Cursor(cursor.epoch, number + 1)
            yield sentences.batch(order[number]), following
        cursor = Cursor(cursor.epoch + 1, 0)


def shuffled_batches(
    tokens: Ids, tokenizer: Tokenizer, config: TrainingConfig, cursor: Cursor
) -> Iterator[tuple[Batch, Cursor]]:
    """Batches of the sentences of a stored text, each of which a line break ends."""
    sentences = Sentences(tokens, end_id(tokenizer))
    return sentence_batches(sentences, config.batch_size, config.seed, cursor)


def facts_of_sentences(tokens: Ids, tokenizer: Tokenizer) -> TextFacts:
    """The facts of a stored training part (N,) of sentences."""
    count = int((tokens == end_id(tokenizer)).sum())
    return TextFacts(tokenizer.vocab_size, len(tokens), sentences=count)


def steps_per_epoch(facts: TextFacts, config: TrainingConfig) -> int:
    """How many batches make one pass over the training part of a text of sentences."""
    return batches_per_epoch(facts.sentences or 0, config.batch_size)


def _order(sentences: Sentences, batch_size: int, draw: np.random.Generator) -> list[list[int]]:
    lengths, shuffled = sentences.lengths, draw.permutation(len(sentences))
    batches = []
    for begin in range(0, len(shuffled), POOL * batch_size):
        pool = shuffled[begin : begin + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size].tolist() for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in draw.permutation(len(batches))]
