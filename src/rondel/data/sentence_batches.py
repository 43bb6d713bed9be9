"""Batches of whole sentences of similar length.

Shapes: T time (steps), B sentences, N tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rondel.data.batches import PADDING, Batch, Cursor
from rondel.data.documents import Numbers, blocks_of
from rondel.data.facts import TextFacts
from rondel.data.scratch_arrays import folder_of, scratch_array, shuffled
from rondel.data.store import BLOCK, Ids
from rondel.errors import InputError
from rondel.settings import TrainingConfig
from rondel.text.one_sentence import end_id
from rondel.text.tokenizers import Tokenizer

POOL = 64
"""Batches whose sentences are sorted by length together: enough for little padding, but few enough
that the sentences of a batch differ from pass to pass."""


class Sentences(Sequence[Ids]):
    """The sentences of a stored text, each the tokens up to and including `end_id`.

    `end_id` also comes before the first sentence. For a long text, the places where sentences end
    are in an unnamed file next to that of the tokens.
    """

    def __init__(self, tokens: Ids, end_id: int) -> None:
        self._tokens, self.end_id, self.folder = tokens, end_id, folder_of(tokens)
        count = count_sentences(tokens, end_id)
        self._ends, written = scratch_array(count, len(tokens), self.folder), 0
        for begin in range(0, len(tokens), BLOCK):
            ends = np.flatnonzero(tokens[begin : begin + BLOCK] == end_id) + (begin + 1)
            self._ends[written : written + len(ends)] = ends
            written += len(ends)

    def lengths(self, numbers: Numbers) -> Numbers:
        """Return the number of tokens of some sentences (n,), including their ends."""
        return self._ends[numbers].astype(np.int64) - self._begins(numbers)

    def _begins(self, numbers: Numbers) -> Numbers:
        begins: Numbers = self._ends[numbers - 1].astype(np.int64)
        begins[numbers == 0] = 0
        return begins

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Ids:  # type: ignore[override]
        number = range(len(self))[number]
        begin = int(self._ends[number - 1]) if number else 0
        return self._tokens[begin : int(self._ends[number])]

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return a batch of these sentences: the decoder's inputs and targets.

        Inputs begin with `end_id`, targets end with it and are padded.
        """
        chosen = [self[number] for number in numbers]
        targets_TB = np.full((max(map(len, chosen)), len(chosen)), PADDING, np.int64)
        inputs_TB = np.full(targets_TB.shape, self.end_id, np.int64)
        for b, sentence in enumerate(chosen):
            targets_TB[: len(sentence), b] = sentence
            inputs_TB[1 : len(sentence), b] = sentence[:-1]
        return Batch(inputs_TB, targets_TB, fresh=True)

    def in_order_of_length(self, batch_size: int) -> Iterator[list[int]]:
        """Yield the numbers of all sentences in batches, shortest first."""
        blocks = list(blocks_of(len(self)))
        counts = np.zeros(1, np.int64)
        for numbers in blocks:
            counts = _sum(counts, np.bincount(self.lengths(numbers)))
        # Where the next sentence of each length goes.
        places = np.cumsum(counts) - counts
        order = scratch_array(len(self), max(len(self) - 1, 0), self.folder)
        for numbers in blocks:
            lengths = self.lengths(numbers)
            by_length = np.argsort(lengths, kind="stable")
            found = np.bincount(lengths, minlength=len(counts))
            before = np.cumsum(found) - found
            lengths = lengths[by_length]
            order[places[lengths] + np.arange(len(lengths)) - before[lengths]] = numbers[by_length]
            places += found
        for begin in range(0, len(order), batch_size):
            yield order[begin : begin + batch_size].tolist()


def count_sentences(tokens: Ids, end_id: int) -> int:
    """Return the number of sentences of a stored text (N,)."""
    blocks = (tokens[begin : begin + BLOCK] for begin in range(0, len(tokens), BLOCK))
    return sum(int(np.count_nonzero(block == end_id)) for block in blocks)


def batches_per_epoch(sentences: int, batch_size: int) -> int:
    """Return how many batches one pass takes; the last may be smaller."""
    return -(-sentences // batch_size)


def sentence_batches(
    sentences: Sentences, batch_size: int, seed: int, cursor: Cursor
) -> Iterator[tuple[Batch, Cursor]]:
    """Yield batches without end, each with the cursor after it, in another order for each pass.

    The order depends only on the seed and the number of the pass. Raises `InputError` if there is
    no sentence.
    """
    if not len(sentences):
        raise InputError("there is no sentence to train on; give it a longer text")
    while True:
        order = _Order(sentences, batch_size, np.random.default_rng([seed, cursor.epoch]))
        for number in range(cursor.chunk, len(order)):
            last = number + 1 == len(order)
            following = Cursor(cursor.epoch + 1, 0) if last else Cursor(cursor.epoch, number + 1)
            yield sentences.batch(order[number]), following
        cursor = Cursor(cursor.epoch + 1, 0)


def shuffled_batches(
    tokens: Ids, tokenizer: Tokenizer, config: TrainingConfig, cursor: Cursor
) -> Iterator[tuple[Batch, Cursor]]:
    """Yield batches of the sentences of a stored text, which end with line breaks."""
    sentences = Sentences(tokens, end_id(tokenizer))
    return sentence_batches(sentences, config.batch_size, config.seed, cursor)


def facts_of_sentences(tokens: Ids, tokenizer: Tokenizer) -> TextFacts:
    """Return the facts of a stored training split (N,) of sentences."""
    count = count_sentences(tokens, end_id(tokenizer))
    return TextFacts(tokenizer.vocab_size, len(tokens), sentences=count)


def steps_per_epoch(facts: TextFacts, config: TrainingConfig) -> int:
    """Return how many batches one pass over a training split of sentences takes."""
    return batches_per_epoch(facts.sentences or 0, config.batch_size)


class _Order(Sequence[list[int]]):
    """The sentences of each batch of a pass: drawn, and of about the same length."""

    def __init__(self, sentences: Sentences, batch_size: int, draw: np.random.Generator) -> None:
        self._batch_size = batch_size
        self._sentences = shuffled(len(sentences), draw, sentences.folder)
        for begin in range(0, len(sentences), POOL * batch_size):
            pool = self._sentences[begin : begin + POOL * batch_size]
            lengths = sentences.lengths(pool.astype(np.int64))
            pool[:] = pool[np.argsort(lengths, kind="stable")]
        batches = batches_per_epoch(len(sentences), batch_size)
        self._batches = shuffled(batches, draw, sentences.folder)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> list[int]:  # type: ignore[override]
        begin = int(self._batches[number]) * self._batch_size
        numbers: list[int] = self._sentences[begin : begin + self._batch_size].tolist()
        return numbers


def _sum(one: Numbers, other: Numbers) -> Numbers:
    """The sum of two arrays, zeros at the end of the shorter."""
    total = np.zeros(max(len(one), len(other)), np.int64)
    total[: len(one)] += one
    total[: len(other)] += other
    return total
