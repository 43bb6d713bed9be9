"""Training a bidirectional model: directions of streams, losses, validation and resuming."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from _both import cloze_logits, log_probabilities, random_model, shape
from _runs import batches_of, configured, rondel, start, train

import rondel as api
from rondel import artifact
from rondel.data.batches import PADDING, Batch, Cursor, chunks_per_epoch, stream_batches
from rondel.engine import NumpyEngine
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.errors import InputError, ModelFolderError
from rondel.evaluation.cloze import pseudo_log_likelihoods
from rondel.models.base import TensorBatch
from rondel.training.snapshots import read_snapshot, write_snapshot
from rondel.training.torch_learner import TorchLearner

VOCAB, STEPS = 11, 12


def passes(count: int, batch_size: int, seq_length: int, leftward: int) -> list[list[Batch]]:
    """Two passes over a text whose tokens are their own positions."""
    chunks = chunks_per_epoch(count, batch_size, seq_length)
    tokens = np.arange(count, dtype=np.uint16)
    batches = stream_batches(tokens, batch_size, seq_length, Cursor(), leftward)
    both = [batch for batch, _ in itertools.islice(batches, 2 * chunks)]
    return [both[:chunks], both[chunks:]]


@pytest.mark.parametrize(
    ("count", "batch_size", "seq_length"), [(101, 4, 10), (101, 5, 5), (50, 7, 64), (5, 2, 1)]
)
def test_half_of_the_streams_go_leftward_and_every_token_is_a_target(
    count: int, batch_size: int, seq_length: int
) -> None:
    leftward = batch_size // 2
    length = (count - 1) // batch_size
    for batches in passes(count, batch_size, seq_length, leftward):
        targets = np.concatenate([batch.targets.ravel() for batch in batches])
        assert sorted(targets.tolist()) == list(range(1, batch_size * length + 1))
        for batch in batches:
            assert batch.leftward == leftward
            np.testing.assert_array_equal(batch.targets, batch.inputs + 1)
        for batch, following in itertools.pairwise(batches):
            right = batch_size - leftward
            np.testing.assert_array_equal(batch.targets[-1, :right], following.inputs[0, :right])
            np.testing.assert_array_equal(batch.inputs[0, right:], following.targets[-1, right:])


def test_each_pass_reads_other_parts_leftward() -> None:
    first, second = passes(101, 4, 10, 2)
    went = [{int(begin) // 25 for begin in batches[0].inputs[0, 2:]} for batches in (first, second)]
    assert went == [{2, 3}, {0, 1}]


def test_batches_resume_from_a_cursor() -> None:
    tokens = np.arange(101, dtype=np.uint16)
    whole = list(itertools.islice(stream_batches(tokens, 4, 10, Cursor(), 2), 8))
    for index, (_, cursor) in enumerate(whole[:-1]):
        batch, _ = next(stream_batches(tokens, 4, 10, cursor, 2))
        for ours, theirs in zip(batch, whole[index + 1][0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def nll(engine: BidirectionalEngine, ids: np.ndarray, places: Sequence[int]) -> float:
    """Mean -ln p of tokens at `places` of the text `ids`, each given all other tokens."""
    logs = log_probabilities(cloze_logits(engine, ids))
    return -float(np.mean([logs[place, ids[place]] for place in places]))


def as_batch(
    ids: np.ndarray, leftward: int = 0, following: np.ndarray | None = None
) -> TensorBatch:
    tensor = torch.from_numpy(ids)[:, None]
    after = None if following is None else torch.from_numpy(following)[:, None]
    return TensorBatch(tensor[:-1], tensor[1:], after, leftward)


@pytest.fixture
def ids() -> np.ndarray:
    return np.random.default_rng(3).integers(0, VOCAB, 2 * STEPS + 1)


def test_a_rightward_stream_carries_the_left_context(ids: np.ndarray) -> None:
    model = random_model(shape(VOCAB, num_layers=2))
    engine = BidirectionalEngine(model.config, model.export())
    state = model.initial_state(1)
    with torch.no_grad():
        terms, state = model.losses(as_batch(ids[: STEPS + 1]), state, 0)
        assert terms["cloze"] == pytest.approx(nll(engine, ids[: STEPS + 1], range(1, STEPS + 1)))
        terms, _ = model.losses(as_batch(ids[STEPS:]), state, 1)
    # The second chunk is read as the end of the whole text.
    expected = nll(engine, ids, range(STEPS + 1, 2 * STEPS + 1))
    assert terms["cloze"] == pytest.approx(expected, abs=1e-4)
    causal = NumpyEngine(model.config, model.export())
    logits, _ = causal.sequence(ids[:-1, None], causal.initial_state())
    logs = log_probabilities(logits[:, 0])
    expected = -np.mean([logs[t, ids[t + 1]] for t in range(STEPS, 2 * STEPS)])
    assert terms["causal"] == pytest.approx(expected, abs=1e-4)


def test_a_leftward_stream_carries_the_right_context(ids: np.ndarray) -> None:
    model = random_model(shape(VOCAB, num_layers=2))
    engine = BidirectionalEngine(model.config, model.export())
    state = model.initial_state(1)
    with torch.no_grad():
        terms, state = model.losses(as_batch(ids[STEPS:], leftward=1), state, 0)
        assert terms["cloze"] == pytest.approx(nll(engine, ids[STEPS:], range(STEPS + 1)), abs=1e-4)
        terms, _ = model.losses(as_batch(ids[: STEPS + 1], leftward=1), state, 1)
    # The first chunk is read as the beginning of the whole text.
    assert terms["cloze"] == pytest.approx(nll(engine, ids, range(STEPS + 1)), abs=1e-4)


def test_known_tokens_after_a_chunk_are_read(ids: np.ndarray) -> None:
    model = random_model(shape(VOCAB, num_layers=2))
    engine = BidirectionalEngine(model.config, model.export())
    batch = as_batch(ids[: STEPS + 1], following=ids[STEPS:])
    with torch.no_grad():
        terms, _ = model.losses(batch, model.initial_state(1), 0)
    assert terms["cloze"] == pytest.approx(nll(engine, ids, range(1, STEPS + 1)), abs=1e-4)


def test_padding_targets_do_not_count(ids: np.ndarray) -> None:
    model = random_model(shape(VOCAB))
    engine = BidirectionalEngine(model.config, model.export())
    batch = as_batch(ids)
    batch = batch._replace(targets=batch.targets.clone())
    batch.targets[5] = PADDING
    with torch.no_grad():
        terms, _ = model.losses(batch, model.initial_state(1), 0)
    counted = [place for place in range(1, len(ids)) if place != 6]
    assert terms["cloze"] == pytest.approx(nll(engine, ids, counted), abs=1e-4)


def test_cloze_is_reported_and_both_terms_are_minimised(coffee: str, tmp_path: Path) -> None:
    run = train(tmp_path / "both", coffee, model="bidirectional", steps=60, learning_rate=0.01)
    learner = run.learner
    assert isinstance(learner, TorchLearner)
    result = learner.step(next(run.batches())[0], 0.001)
    assert set(result.terms) == {"cloze", "causal"}
    assert result.loss == result.terms["cloze"]
    gradients = {name: array.grad for name, array in learner.model.named_arrays().items()}
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients.values())

    validation = np.array(run.store.tokens("validation"))
    engine = BidirectionalEngine(run.config.model, learner.weights())
    exact = -pseudo_log_likelihoods(engine, validation)[1:].mean()
    # What is after a chunk is read 64 tokens far, and one chunk is the whole of so short a text.
    assert learner.validate(validation) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_validation_in_parallel_equals_one_pass(cell: str, coffee: str) -> None:
    config = configured(60, cell=cell, model="bidirectional")
    tokens = np.frombuffer(coffee.encode("ascii", "replace"), np.uint8) % 60
    learner = TorchLearner(config)
    for batch in batches_of(tokens, config, 20):
        learner.step(batch._replace(leftward=2), 0.01)
    text = tokens[:9000]  # two streams, of many chunks
    engine = BidirectionalEngine(config.model, learner.weights())
    exact = -pseudo_log_likelihoods(engine, text)[1:].mean()
    assert learner.validate(text) == pytest.approx(exact, abs=2e-3)


def test_a_restored_snapshot_trains_on_in_the_same_bits(tmp_path: Path, coffee: str) -> None:
    config = configured(60, model="bidirectional", num_layers=2, dropout=0.3, batch_size=5)
    tokens = np.frombuffer(coffee.encode("ascii", "replace"), np.uint8)[:501] % 60
    batches = stream_batches(tokens, 5, 16, Cursor(), 2)
    first, rest = ([next(batches)[0] for _ in range(count)] for count in (5, 6))
    learner, other = TorchLearner(config), TorchLearner(config)
    for batch in first:
        learner.step(batch, 0.01)
    write_snapshot(tmp_path / "at.safetensors", learner.snapshot(), {})
    losses = [learner.step(batch, 0.01).terms for batch in rest]
    other.step(rest[0], 0.5)  # a different state, which `restore` replaces
    other.restore(read_snapshot(tmp_path / "at.safetensors")[0])
    assert [other.step(batch, 0.01).terms for batch in rest] == losses
    expected = learner.weights()
    for name, array in other.weights().items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, coffee: str) -> None:
    settings = {"model": "bidirectional", "schedule": "constant", "batch_size": 5, "eval_every": 10}
    whole = train(tmp_path / "whole", coffee, steps=40, **settings)
    train(tmp_path / "parts", coffee, steps=20, **settings)
    api.resume(tmp_path / "parts", steps=40, quiet=True)
    ours, theirs = (api.load(tmp_path / name) for name in ("parts", "whole"))
    assert ours.progress["val_loss"] == theirs.progress["val_loss"] == whole.progress.val_loss
    for name, array in theirs.weights.items():
        np.testing.assert_array_equal(ours.weights[name], array)


def test_init_from_maps_weights_token_by_token(tmp_path: Path, coffee: str) -> None:
    settings = {"model": "bidirectional", "embedding_size": 0}
    old = api.load(train(tmp_path / "old", coffee, **settings).folder)
    run = start(tmp_path / "new", coffee.replace("e", "€"), init_from=tmp_path / "old")
    assert run.config.model.model == "bidirectional"
    weights, tokenizer = run.learner.weights(), run.tokenizer
    for character in "a€":
        new, known = tokenizer.encode(character)[0], old.tokenizer.encode(character)[0]
        for name in ("cloze.weight", "cloze.bias", "head.weight"):
            row = old.weights[name][known] if character == "a" else old.weights[name].mean(axis=0)
            np.testing.assert_allclose(weights[name][new], row, rtol=0, atol=1e-6)
        columns = old.weights["backward.weight_ih_l0"]
        column = columns[:, known] if character == "a" else columns.mean(axis=1)
        ours = weights["backward.weight_ih_l0"][:, new]
        np.testing.assert_allclose(ours, column, rtol=0, atol=1e-6)


def test_a_folder_without_an_array_is_refused(tmp_path: Path, coffee: str) -> None:
    parts = train(tmp_path / "both", coffee, model="bidirectional", steps=2).model()
    for lacking in ("backward.weight_hh_l0", "cloze.bias"):
        weights = {name: array for name, array in parts.weights.items() if name != lacking}
        with pytest.raises(ModelFolderError, match=lacking):
            artifact.save(tmp_path / "half", dataclasses.replace(parts, weights=weights))


def test_the_numpy_backend_has_one_direction(tmp_path: Path, coffee_file: Path) -> None:
    with pytest.raises(InputError, match="is the plain reference and has no bidirectional model"):
        rondel(
            "train", coffee_file, "--bidirectional", "--backend", "numpy", "--out", tmp_path / "r"
        )
