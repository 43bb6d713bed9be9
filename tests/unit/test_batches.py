"""Batches are the text, stream by stream, from any cursor; evaluation counts every token once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.data.batches import (
    PADDING,
    Batch,
    Cursor,
    chunks_per_epoch,
    evaluation_streams,
    stream_batches,
)

# Tokens, streams, steps of a chunk: with a last chunk that is shorter, whole, and the only one.
LAYOUTS = [(101, 4, 10), (101, 4, 5), (50, 7, 64), (9, 1, 3), (5, 2, 1)]
layouts = pytest.mark.parametrize(("count", "batch_size", "seq_length"), LAYOUTS)


def distinct(count: int) -> np.ndarray:
    """Tokens that each say where they stand."""
    return np.arange(count, dtype=np.uint16)


def epoch(count: int, batch_size: int, seq_length: int, cursor: Cursor) -> list[Batch]:
    chunks = chunks_per_epoch(count, batch_size, seq_length)
    batches = stream_batches(distinct(count), batch_size, seq_length, cursor)
    return [batch for batch, _ in itertools.islice(batches, chunks)]


@layouts
def test_the_batches_of_a_pass_are_the_text_stream_by_stream(
    count: int, batch_size: int, seq_length: int
) -> None:
    batches = epoch(count, batch_size, seq_length, Cursor())
    length = (count - 1) // batch_size
    inputs = np.concatenate([batch.inputs for batch in batches])
    targets = np.concatenate([batch.targets for batch in batches])
    assert inputs.shape == targets.shape == (length, batch_size)
    assert inputs.dtype == targets.dtype == np.int64
    text = distinct(count)
    for stream in range(batch_size):
        begin = stream * length
        assert inputs[:, stream].tolist() == text[begin : begin + length].tolist()
        assert targets[:, stream].tolist() == text[begin + 1 : begin + length + 1].tolist()
    # Side by side, the streams leave out fewer tokens than there are streams.
    assert count - 1 - targets.max() < batch_size
    sizes = [len(batch.inputs) for batch in batches]
    assert sizes[:-1] == [seq_length] * (len(batches) - 1)
    assert 1 <= sizes[-1] <= seq_length
    assert sum(sizes) == length


@layouts
def test_the_state_starts_over_with_each_pass_alone(
    count: int, batch_size: int, seq_length: int
) -> None:
    chunks = chunks_per_epoch(count, batch_size, seq_length)
    stream = stream_batches(distinct(count), batch_size, seq_length, Cursor())
    three = list(itertools.islice(stream, 3 * chunks))
    assert [batch.fresh for batch, _ in three] == 3 * ([True] + [False] * (chunks - 1))
    assert three[chunks - 1][1] == Cursor(1, 0)
    assert three[-1][1] == Cursor(3, 0)
    for (first, _), (second, _) in itertools.pairwise([three[0], three[chunks], three[-chunks]]):
        np.testing.assert_array_equal(first.inputs, second.inputs)


@layouts
def test_from_every_cursor_the_batches_go_on_as_they_would_have(
    count: int, batch_size: int, seq_length: int
) -> None:
    total = 2 * chunks_per_epoch(count, batch_size, seq_length) + 1
    tokens = distinct(count)
    whole = list(itertools.islice(stream_batches(tokens, batch_size, seq_length, Cursor()), total))
    for done in range(1, total):
        cursor = whole[done - 1][1]
        again = stream_batches(tokens, batch_size, seq_length, cursor)
        for (batch, after), (expected, expected_after) in zip(again, whole[done:], strict=False):
            np.testing.assert_array_equal(batch.inputs, expected.inputs)
            np.testing.assert_array_equal(batch.targets, expected.targets)
            assert batch.fresh == expected.fresh
            assert after == expected_after


@given(
    count=st.integers(2, 3000),
    warm_up=st.integers(1, 40),
    most=st.integers(1, 9),
)
def test_every_token_but_the_first_is_scored_once_and_in_order(
    count: int, warm_up: int, most: int
) -> None:
    inputs_TB, targets_TB = evaluation_streams(distinct(count), warm_up, most)
    assert inputs_TB.shape == targets_TB.shape
    assert inputs_TB.shape[1] <= most
    scored = targets_TB.T[targets_TB.T != PADDING]
    assert scored.tolist() == list(range(1, count))
    # What is scored comes right after its input, and after `warm_up` inputs that lead up to it.
    places = np.argwhere(targets_TB != PADDING)
    for t, b in places[:: max(1, len(places) // 50)]:
        token = targets_TB[t, b]
        known = min(warm_up, token)
        assert inputs_TB[t - known + 1 : t + 1, b].tolist() == list(range(token - known, token))


def test_a_long_text_is_evaluated_in_64_streams_of_some_length() -> None:
    inputs_TB, targets_TB = evaluation_streams(np.zeros(600_000, np.uint8))
    assert inputs_TB.shape[1] == 64
    assert (targets_TB != PADDING).sum() == 599_999
    assert len(inputs_TB) == 256 + -(-(599_999 - 256) // 64)
