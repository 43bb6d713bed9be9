"""Read token sequences with an engine in batches, many steps per pass.

Shapes: T time, B batch, V vocabulary, K measured values, N tokens predicted of one sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.engine import Engine
from rondel.evaluation.framing import Passage
from rondel.evaluation.measures import Measure, Measured
from rondel.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.integer[Any]]
Watch = Callable[[float], None]
LONGEST_PASS = 256
LARGEST_PASS = 4_000_000
"""Largest number of logits computed at once (16 MB)."""


def unwatched(fraction: float) -> None:
    """Ignore progress."""


def pass_length(sequences: int, vocab_size: int) -> int:
    """Steps that are computed at once for so many sequences."""
    return max(1, min(LONGEST_PASS, LARGEST_PASS // (sequences * vocab_size)))


def read(
    engine: Engine,
    vocab_size: int,
    sequences: Sequence[Ids],
    measure: Measure,
    *,
    batch_size: int = 64,
    watch: Watch = unwatched,
) -> list[Measured]:
    """Measure all tokens but the first of each sequence, from the zero state: (K, N) each.

    `batch_size` changes results by rounding alone. `watch` is called with the fraction done. Raises
    `ModelFolderError` if the model's output is not finite.
    """
    results = [np.empty((measure.width, 0)) for _ in sequences]
    # Longest first, so that the sequences still being read are always the first of their batch.
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
    steps, done = sum(max(0, len(sequence) - 1) for sequence in sequences), 0

    def report(new_steps: int) -> None:
        nonlocal done
        done += new_steps
        watch(done / steps)

    for begin in range(0, len(order), batch_size):
        batch = [i for i in order[begin : begin + batch_size] if len(sequences[i]) > 1]
        if batch:
            batch_sequences = [sequences[i] for i in batch]
            measured = _read_batch(engine, vocab_size, batch_sequences, measure, report)
            for i, columns in zip(batch, measured, strict=True):
                results[i] = columns
    return results


def read_passages(
    engine: Engine,
    tokenizer: Tokenizer,
    passages: Sequence[Passage],
    measure: Measure,
    *,
    batch_size: int = 64,
    watch: Watch = unwatched,
) -> list[Measured]:
    """As `read`, for the text's tokens of each passage: (K, N), NaN for a first without context."""
    sequences = [passage.ids for passage in passages]
    measured = read(
        engine, tokenizer.vocab_size, sequences, measure, batch_size=batch_size, watch=watch
    )
    results = []
    for passage, read_KN in zip(passages, measured, strict=True):
        text_KN = np.full((measure.width, len(passage.text_ids)), np.nan)
        scored = min(text_KN.shape[1], read_KN.shape[1])
        text_KN[:, text_KN.shape[1] - scored :] = read_KN[:, read_KN.shape[1] - scored :]
        results.append(text_KN)
    return results


def _read_batch(
    engine: Engine,
    vocab_size: int,
    sequences: Sequence[Ids],
    measure: Measure,
    report: Callable[[int], None],
) -> list[Measured]:
    """`read` for one batch, the longest sequence first."""
    counts_B = np.array([len(sequence) - 1 for sequence in sequences])
    results = [np.empty((measure.width, count)) for count in counts_B]
    length = pass_length(len(sequences), vocab_size)
    state = engine.initial_state(len(sequences))
    for begin in range(0, int(counts_B[0]), length):
        active = int((counts_B > begin).sum())
        ends_B = np.minimum(counts_B[:active], begin + length)
        tokens_TB = np.zeros((int(ends_B[0]) - begin + 1, active), np.int64)
        for b, end in enumerate(ends_B):
            tokens_TB[: end - begin + 1, b] = sequences[b][begin : end + 1]
        state = tuple(np.ascontiguousarray(part_LBH[:, :active]) for part_LBH in state)
        logits_TBV, state = engine.sequence(tokens_TB[:-1], state)
        measured_KTB = measure(logits_TBV, tokens_TB[1:])
        for b, end in enumerate(ends_B):
            results[b][:, begin:end] = measured_KTB[:, : end - begin, b]
        report(int((ends_B - begin).sum()))
    return results
