"""Batches of contiguous text: parallel streams, cut into chunks, with a cursor to resume from.

Shapes: T time (steps), B batch (streams).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.data.facts import TextFacts
from rondel.data.store import Ids
from rondel.settings import TrainingConfig
from rondel.text.tokenizers import Tokenizer

PADDING = -1
"""A target that does not count."""


class Batch(NamedTuple):
    """A chunk of every stream: `targets` are the tokens that follow `inputs`, both (T, B) int64.

    `fresh` is true if the streams begin here, so that the carried state must be reset; or it says
    so for each stream (B,). The last `leftward` streams are read from their end to their beginning.

    >>> import numpy as np
    >>> batch, _ = next(stream_batches(np.arange(9), 2, 2, Cursor()))
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.fresh
    ([[0, 4], [1, 5]], [[1, 5], [2, 6]], True)
    """

    inputs: Ids
    targets: Ids
    fresh: bool | npt.NDArray[np.bool_]
    leftward: int = 0


class Cursor(NamedTuple):
    """The next batch: chunk `chunk` of pass `epoch`.

    >>> import numpy as np
    >>> _, cursor = next(stream_batches(np.arange(9), 2, 2, Cursor()))
    >>> cursor
    Cursor(epoch=0, chunk=1)
    """

    epoch: int = 0
    chunk: int = 0


def chunks_per_epoch(tokens: int, batch_size: int, seq_length: int) -> int:
    """Return how many batches one pass takes; the last may be shorter than `seq_length`."""
    return -(-((tokens - 1) // batch_size) // seq_length)


def stream_batches(
    tokens: Ids, batch_size: int, seq_length: int, cursor: Cursor, leftward: int = 0
) -> Iterator[tuple[Batch, Cursor]]:
    """Yield batches for truncated BPTT without end, each with the cursor after it.

    The text is divided into `batch_size` streams of equal length; a batch is the next `seq_length`
    steps of all of them, so that the state carries over from each batch to the next.

    With `leftward`, so many streams are read chunk by chunk from their end (each chunk itself is in
    order), for a state that is carried backward. Which parts of the text these are changes with
    every pass.
    """
    length = (len(tokens) - 1) // batch_size
    chunks = chunks_per_epoch(len(tokens), batch_size, seq_length)
    rightward = batch_size - leftward
    while True:
        pieces_B = (np.arange(batch_size) + cursor.epoch * leftward) % batch_size
        begin = cursor.chunk * seq_length
        end = min(begin + seq_length, length)
        firsts_B = pieces_B * length + begin
        firsts_B[rightward:] = pieces_B[rightward:] * length + length - end
        places_TB = np.arange(end - begin)[:, None] + firsts_B
        batch = Batch(
            tokens[places_TB].astype(np.int64),
            tokens[places_TB + 1].astype(np.int64),
            fresh=cursor.chunk == 0,
            leftward=leftward,
        )
        last = cursor.chunk + 1 == chunks
        cursor = Cursor(cursor.epoch + 1) if last else Cursor(cursor.epoch, cursor.chunk + 1)
        yield batch, cursor


def text_batches(
    tokens: Ids, tokenizer: Tokenizer, config: TrainingConfig, cursor: Cursor
) -> Iterator[tuple[Batch, Cursor]]:
    """Yield batches for a model that reads a text forward; see `stream_batches`."""
    return stream_batches(tokens, config.batch_size, config.seq_length, cursor)


def two_way_batches(
    tokens: Ids, tokenizer: Tokenizer, config: TrainingConfig, cursor: Cursor
) -> Iterator[tuple[Batch, Cursor]]:
    """Yield batches for a bidirectional model: half of the streams are read backward."""
    leftward = config.batch_size // 2
    return stream_batches(tokens, config.batch_size, config.seq_length, cursor, leftward)


def text_steps_per_epoch(facts: TextFacts, config: TrainingConfig) -> int:
    """Return how many batches one pass over the training split takes."""
    if facts.documents is not None:
        return -(-facts.documents.all_chunks(config.seq_length) // config.batch_size)
    return chunks_per_epoch(facts.train, config.batch_size, config.seq_length)


def evaluation_streams(tokens: Ids, warm_up: int = 256, most: int = 64) -> tuple[Ids, Ids]:
    """Divide a text into parallel streams for one evaluation pass: inputs and targets (T, B).

    Every token after the first is a target exactly once. Each stream but the first begins `warm_up`
    tokens early, with `PADDING` as targets, so that its state is warm when scoring begins, nearly
    as if the text had been read in order.
    """
    count = len(tokens) - 1
    streams = max(1, min(most, count // (16 * warm_up)))
    warm_up = min(warm_up, count)
    scored = -(-(count - warm_up) // streams)
    places_TB = np.arange(warm_up + scored)[:, None] + np.arange(streams) * scored
    inputs_TB = tokens[np.minimum(places_TB, count)].astype(np.int64)
    targets_TB = tokens[np.minimum(places_TB + 1, count)].astype(np.int64)
    targets_TB[places_TB + 1 > count] = PADDING
    targets_TB[:warm_up, 1:] = PADDING
    return inputs_TB, targets_TB
