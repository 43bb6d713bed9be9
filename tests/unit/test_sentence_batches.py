"""Batches of sentences: each once a pass, little padding, and on from any cursor."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from rondel.data import documents, scratch_arrays
from rondel.data import sentence_batches as sentence_batches_module
from rondel.data.batches import PADDING, Cursor
from rondel.data.sentence_batches import Sentences, batches_per_epoch, sentence_batches

END = 3
DRAW = np.random.default_rng(0)
OWN = [[*DRAW.integers(4, 1000, DRAW.integers(1, 40)).tolist(), END] for _ in range(500)]
STORED = Sentences(np.concatenate([np.array(own) for own in OWN]), END)


def written(targets_TB: np.ndarray) -> list[list[int]]:
    return [column[column != PADDING].tolist() for column in targets_TB.T]


def test_every_pass_has_every_sentence_once_and_an_order_of_its_own() -> None:
    passes = []
    stream = sentence_batches(STORED, 7, 1, Cursor())
    for epoch in range(2):
        found = []
        for number in range(batches_per_epoch(len(OWN), 7)):
            batch, following = next(stream)
            found += written(batch.targets)
            assert batch.fresh
            last = number + 1 == batches_per_epoch(len(OWN), 7)
            assert following == (Cursor(epoch + 1, 0) if last else Cursor(epoch, number + 1))
        assert sorted(found) == sorted(OWN)
        passes.append(found)
    assert passes[0] != passes[1]


def test_inputs_are_the_targets_a_step_later_behind_the_end_of_a_sentence() -> None:
    batch = STORED.batch([4, 2])
    for b, number in enumerate((4, 2)):
        length = len(OWN[number])
        assert batch.targets[:length, b].tolist() == OWN[number]
        assert (batch.targets[length:, b] == PADDING).all()
        assert batch.inputs[:length, b].tolist() == [END, *OWN[number][:-1]]


def test_little_of_a_batch_is_padding() -> None:
    batches = [batch for batch, _ in itertools.islice(sentence_batches(STORED, 8, 1, Cursor()), 60)]
    padding = sum(int((batch.targets == PADDING).sum()) for batch in batches)
    assert padding < 0.1 * sum(batch.targets.size for batch in batches)


@pytest.mark.parametrize("done", [1, 60, 75])
def test_from_a_cursor_the_same_goes_on(done: int) -> None:
    stream = sentence_batches(STORED, 8, 5, Cursor())
    for _ in range(done):
        _, cursor = next(stream)
    resumed = sentence_batches(STORED, 8, 5, cursor)
    for (expected, at), (found, then) in itertools.islice(zip(stream, resumed, strict=True), 20):
        np.testing.assert_array_equal(found.targets, expected.targets)
        assert then == at


def test_indices_on_disk_are_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.concatenate([np.array(own, np.uint16) for own in OWN])
    ids.tofile(tmp_path / "train.bin")
    monkeypatch.setattr(scratch_arrays, "IN_MEMORY", 100)
    monkeypatch.setattr(scratch_arrays, "BLOCK", 70)
    monkeypatch.setattr(documents, "BLOCK", 70)
    monkeypatch.setattr(sentence_batches_module, "BLOCK", 90)
    stored = Sentences(np.memmap(tmp_path / "train.bin", np.uint16, "r"), END)
    assert [own.tolist() for own in stored] == OWN
    assert stored[-1].tolist() == OWN[-1]
    assert list(stored.in_order_of_length(9)) == list(STORED.in_order_of_length(9))
    both = (sentence_batches(each, 7, 4, Cursor(1, 3)) for each in (stored, STORED))
    for (found, at), (expected, then) in itertools.islice(zip(*both, strict=True), 200):
        np.testing.assert_array_equal(found.targets, expected.targets)
        assert at == then
    # As drawn before there were files: an order is part of what a seed determines.
    drawn = np.random.default_rng(1).permutation(500)
    np.testing.assert_array_equal(
        scratch_arrays.shuffled(500, np.random.default_rng(1), tmp_path), drawn
    )
    assert [path.name for path in tmp_path.iterdir()] == ["train.bin"]


def test_all_of_them_in_order_of_length() -> None:
    found = list(STORED.in_order_of_length(9))
    assert sorted(itertools.chain(*found)) == list(range(len(OWN)))
    lengths = [len(OWN[number]) for number in itertools.chain(*found)]
    assert lengths == sorted(lengths)
