"""Both backends learn the same, and go on from a snapshot as if they had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import batches_of, configured, goes_on_from_a_snapshot, start, train, with_reference
from _settings import text_config

import rondel
from rondel.cells import cells
from rondel.engine import NumpyEngine
from rondel.evaluation.evaluate import evaluate
from rondel.evaluation.token_blocks import TokenBlocks
from rondel.text.tokenizers import Tokenizer, train_tokenizer
from rondel.training.learner import Learner
from rondel.training.numpy_learner import NumpyLearner, reference_cells
from rondel.training.torch_learner import TorchLearner

BACKENDS = ("torch", "numpy")
INPUTS: dict[str, dict[str, Any]] = {
    "one-hot": {"embedding_size": 0},
    "embedding": {"embedding_size": 8},
    "tied": {"embedding_size": 16, "tie_weights": True},
}


@pytest.fixture(scope="session")
def tokenizer(coffee: str) -> Tokenizer:

    return train_tokenizer(coffee, text_config())


@pytest.fixture(scope="session")
def tokens(coffee: str, tokenizer: Tokenizer) -> np.ndarray:
    return tokenizer.encode(coffee)


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("cell", "nonlinearity"), with_reference())
def test_both_backends_learn_the_same(
    cell: str,
    nonlinearity: str,
    num_layers: int,
    inputs: str,
    tokens: np.ndarray,
    tokenizer: Tokenizer,
) -> None:
    config = configured(
        tokenizer.vocab_size,
        cell=cell,
        nonlinearity=nonlinearity,
        num_layers=num_layers,
        optimizer="rmsprop",
        # So that both kinds of clipping act, in their order.
        clip_norm=0.5,
        clip_value=0.1,
        **INPUTS[inputs],
    )
    fast, plain = TorchLearner(config), NumpyLearner(config)
    shapes = {name: array.shape for name, array in plain.weights().items()}
    assert {name: array.shape for name, array in fast.weights().items()} == shapes
    plain.load_weights(fast.weights())
    text = tokens[: 4 * 200 + 1]  # one pass and a half, with a last chunk that is shorter
    before = fast.validate(text)
    assert plain.validate(text) == pytest.approx(before, rel=1e-5)
    for batch in batches_of(text, config, 20):
        ours, theirs = plain.step(batch, 2e-3), fast.step(batch, 2e-3)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
        assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, rel=2e-3)
        assert ours.terms.keys() == theirs.terms.keys()
    assert fast.validate(text) < before
    weights = plain.weights()
    for name, array in fast.weights().items():
        assert array.dtype == weights[name].dtype == np.float32
        # RMSprop divides by the root of a square: where a gradient is rounding alone, its sign is
        # too, and a step is as long as any.
        assert np.abs(array - weights[name]).mean() < 1e-4, name


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize(("of", "by"), [BACKENDS, BACKENDS[::-1]], ids="-to-".join)
def test_a_run_of_one_backend_starts_a_run_of_the_other(
    of: str, by: str, inputs: str, tmp_path: Path, coffee: str
) -> None:
    run = train(tmp_path / "old", coffee, backend=of, learning_rate=0.01, **INPUTS[inputs])
    old = rondel.load(run.folder)
    new = start(tmp_path / "new", coffee, init_from=run.folder, backend=by)
    assert new.config.training.backend == by
    weights = new.learner.weights()
    assert weights.keys() == old.weights.keys()
    for name, array in old.weights.items():
        np.testing.assert_array_equal(weights[name], array)
    validation = new.store.tokens("validation")
    assert new.learner.validate(validation) == pytest.approx(run.progress.val_loss, rel=1e-5)
    again = rondel.load(new.folder)
    assert again.sample("The ", length=40, seed=2) == old.sample("The ", length=40, seed=2)


CONTINUED: dict[str, dict[str, Any]] = {
    "numpy": {"backend": "numpy"},
    "numpy-tied": {"backend": "numpy", **INPUTS["tied"]},
    "torch": {"dropout": 0.3, "embedding_dropout": 0.2},
    "torch-gru": {"dropout": 0.3, "cell": "gru"},
    "torch-variational": {"variational": True, "dropout": 0.3, "cell": "rnn"},
}


@pytest.mark.parametrize("settings", CONTINUED.values(), ids=CONTINUED)
def test_to_go_on_from_a_snapshot_is_never_to_have_stopped(
    settings: dict[str, Any], tmp_path: Path, tokens: np.ndarray, tokenizer: Tokenizer
) -> None:
    config = configured(tokenizer.vocab_size, num_layers=2, **settings)
    build: Any = NumpyLearner if config.training.backend == "numpy" else TorchLearner
    # Seven batches a pass.
    goes_on_from_a_snapshot(config, build, tokens[: 4 * 100 + 1], tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_learner_hands_out_is_a_copy(backend: str, tokens: np.ndarray) -> None:
    config = configured(int(tokens.max()) + 1, backend=backend)
    learner: Learner = NumpyLearner(config) if backend == "numpy" else TorchLearner(config)
    first, second = batches_of(tokens, config, 2)
    learner.step(first, 0.01)
    weights, snapshot = learner.weights(), learner.snapshot()
    kept = {name: array.copy() for name, array in {**weights, **snapshot.arrays}.items()}
    learner.step(second, 0.01)
    for name, array in {**weights, **snapshot.arrays}.items():
        np.testing.assert_array_equal(array, kept[name])
    changed = learner.weights()
    assert not np.array_equal(changed["head.bias"], weights["head.bias"])


@pytest.mark.parametrize(
    ("cell", "backend"),
    [(cell, "torch") for cell in cells] + [(cell, "numpy") for cell in reference_cells()],
)
def test_validation_in_parallel_is_the_text_read_in_order(
    cell: str, backend: str, tokens: np.ndarray, tokenizer: Tokenizer
) -> None:
    config = configured(tokenizer.vocab_size, cell=cell, backend=backend, optimizer="rmsprop")
    learner: Learner = NumpyLearner(config) if backend == "numpy" else TorchLearner(config)
    for batch in batches_of(tokens, config, 20):
        learner.step(batch, 0.01)
    text = tokens[:9000]  # two streams
    engine = NumpyEngine(config.model, learner.weights())
    in_order = evaluate(engine, tokenizer, TokenBlocks.of(tokenizer, text))
    assert in_order.tokens == 8999
    assert learner.validate(text) == pytest.approx(in_order.nats_per_token, abs=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loss_that_is_no_number_updates_nothing(backend: str, tokens: np.ndarray) -> None:
    config = configured(int(tokens.max()) + 1, backend=backend, learning_rate=0.01)
    learner: Learner = NumpyLearner(config) if backend == "numpy" else TorchLearner(config)
    weights = learner.weights()
    weights["head.bias"][0] = np.nan
    learner.load_weights(weights)
    result = learner.step(batches_of(tokens, config, 1)[0], 0.01)
    assert not result.finite
    for name, array in learner.weights().items():
        np.testing.assert_array_equal(array, weights[name])
