"""Batches of documents: neither windows nor the carried state cross their boundaries.

A document of N tokens is read in chunks of `seq_length`, the last of which may be shorter; its
first token is not predicted. The chunks of all documents, one document after another, are divided
equally among the streams. So a pass has the same number of batches in every order, and any place in
it can be found by counting.

Shapes: T time (steps), B streams, D documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.data.batches import PADDING, Batch, Cursor
from rondel.data.documents import Documents, Numbers, blocks_of
from rondel.data.store import Ids

ROUNDS = 4
EVALUATION_STREAMS, EVALUATION_STEPS = 64, 256


def document_steps(documents: Documents, batch_size: int, seq_length: int) -> int:
    """Return how many batches one pass over some documents takes."""
    return -(-documents.all_chunks(seq_length) // batch_size)


def document_batches(
    documents: Documents,
    batch_size: int,
    seq_length: int,
    cursor: Cursor,
    seed: int | None = None,
) -> Iterator[tuple[Batch, Cursor]]:
    """Yield batches of documents without end, each with the cursor after it.

    With a `seed`, each pass has another order, which depends only on the seed and the number of the
    pass; only a few numbers of it are stored. A batch's targets past the end of a document are
    `PADDING`, and its `fresh` says of every stream whether a document begins.
    """
    steps = document_steps(documents, batch_size, seq_length)
    while True:
        order = Order(len(documents), None if seed is None else (seed, cursor.epoch))
        streams = [
            _stream(documents, order, seq_length, *place)
            for place in _places(documents, order, batch_size, seq_length, steps, cursor.chunk)
        ]
        for chunk in range(cursor.chunk, steps):
            stretches = [next(stream) for stream in streams]
            batch = _batch(documents.tokens, stretches, all_fresh=chunk == 0)
            last = chunk + 1 == steps
            yield batch, Cursor(cursor.epoch + 1) if last else Cursor(cursor.epoch, chunk + 1)
        cursor = Cursor(cursor.epoch + 1)


class Order:
    """A permutation of the numbers below `count`: the identity, or shuffled by a key.

    It is computed by a Feistel network over the next power of 4 with cycle walking (Black & Rogaway
    2002), so that no list is stored.
    """

    def __init__(self, count: int, key: tuple[int, ...] | None = None) -> None:
        self.count, self._keys = count, None
        self._half = np.uint64(max(1, (max(count - 1, 1).bit_length() + 1) // 2))
        if key is not None:
            draw = np.random.default_rng(key)
            self._keys = draw.integers(0, 2**63, ROUNDS, np.uint64) | np.uint64(1)

    def __call__(self, places: Numbers) -> Numbers:
        """Return the numbers at some places."""
        if self._keys is None:
            return places
        numbers = self._mixed(places.astype(np.uint64), self._keys)
        while (outside := numbers >= self.count).any():
            numbers[outside] = self._mixed(numbers[outside], self._keys)
        return numbers.astype(np.int64)

    def _mixed(
        self, numbers: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.uint64]:
        mask = (np.uint64(1) << self._half) - np.uint64(1)
        left, right = numbers >> self._half, numbers & mask
        for key in keys:
            mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ (mixed >> np.uint64(32) & mask)
        result: npt.NDArray[np.uint64] = left << self._half | right
        return result


def evaluation_batches(documents: Documents) -> Iterator[Batch]:
    """Yield the batches of one pass over some documents, in many streams, for evaluation.

    A stream that begins within a document has no state from the part before.
    """
    streams = min(EVALUATION_STREAMS, max(1, len(documents)))
    steps = document_steps(documents, streams, EVALUATION_STEPS)
    batches = document_batches(documents, streams, EVALUATION_STEPS, Cursor())
    return (batch for batch, _ in itertools.islice(batches, steps))


def _places(
    documents: Documents, order: Order, batch_size: int, seq_length: int, steps: int, chunk: int
) -> list[tuple[int, int]]:
    """Return where each stream is: the document, as a place in the order, and the chunk in it."""
    wanted = np.arange(batch_size) * steps + chunk
    found, before = [], 0
    for places in blocks_of(len(documents)):
        ends = before + np.cumsum(documents.chunks(order(places), seq_length))
        here = wanted[(wanted >= before) & (wanted < ends[-1])]
        at = np.searchsorted(ends, here, side="right")
        begins = np.concatenate([[before], ends[:-1]])
        found += list(zip(places[at].tolist(), (here - begins[at]).tolist(), strict=True))
        before = int(ends[-1])
    # The last streams may have nothing left to read.
    return found + [(len(documents), 0)] * (batch_size - len(found))


def _stream(
    documents: Documents, order: Order, seq_length: int, place: int, chunk: int
) -> Iterator[tuple[int, int, bool]]:
    """Yield chunks from a place on: begin, number of steps, whether a document begins with it."""
    for at in range(place, len(documents)):
        begins, ends = documents.bounds(order(np.array([at])))
        for begin in range(int(begins[0]) + chunk * seq_length, int(ends[0]) - 1, seq_length):
            first = begin == begins[0]
            yield begin, min(seq_length, int(ends[0]) - 1 - begin), first
        chunk = 0
    while True:
        yield 0, 0, True


def _batch(tokens: Ids, stretches: list[tuple[int, int, bool]], *, all_fresh: bool) -> Batch:
    table: npt.NDArray[Any] = np.array(stretches)
    begins_B, lengths_B, fresh_B = table[:, 0], table[:, 1], table[:, 2].astype(bool)
    steps_T1 = np.arange(max(1, int(lengths_B.max())))[:, None]
    places_TB = np.minimum(begins_B + steps_T1, len(tokens) - 2)
    targets_TB = tokens[places_TB + 1].astype(np.int64)
    targets_TB[steps_T1 >= lengths_B] = PADDING
    inputs_TB = tokens[places_TB].astype(np.int64)
    return Batch(inputs_TB, targets_TB, fresh=True if all_fresh else fresh_B)
