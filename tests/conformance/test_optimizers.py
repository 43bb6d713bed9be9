"""Every registered optimiser: it learns, heeds its settings, and goes on from a snapshot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _runs import batches_of, configured, goes_on_from_a_snapshot
from _settings import others

from rondel.settings import RunConfig
from rondel.training.optimizers import optimizers
from rondel.training.optimizers.adam import Adam
from rondel.training.torch_learner import TorchLearner

every_optimizer = pytest.mark.parametrize("name", optimizers)
every_setting = pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        (name, setting, value)
        for name, cls in optimizers.items()
        for setting, value in (*others(cls), ("weight_decay", 0.1))
    ],
)


@pytest.fixture(scope="module")
def tokens(coffee: str) -> np.ndarray:
    """The letters of a text as numbers: seven batches."""
    return np.unique(list(coffee[: 4 * 112 + 1]), return_inverse=True)[1].astype(np.int32)


def config_of(tokens: np.ndarray, name: str, **settings: Any) -> RunConfig:
    settings = {"optimizer": name, "dropout": 0.2, "seed": 3, **settings}
    return configured(int(tokens.max()) + 1, **settings)


def weights_after(config: RunConfig, tokens: np.ndarray, steps: int) -> dict[str, Any]:
    learner = TorchLearner(config)
    for batch in batches_of(tokens, config, steps):
        learner.step(batch, config.training.learning_rate)
    return learner.weights()


@every_optimizer
def test_it_learns_a_text_by_heart_at_its_own_rate(name: str, tokens: np.ndarray) -> None:
    config = config_of(tokens, name, dropout=0.0)
    assert config.training.learning_rate == optimizers[name].learning_rate > 0
    learner = TorchLearner(config)
    before = learner.validate(tokens)
    for batch in batches_of(tokens, config, 150):
        assert learner.step(batch, config.training.learning_rate).finite
    assert learner.validate(tokens) < before - 0.3


@every_optimizer
def test_it_goes_on_from_a_snapshot(name: str, tokens: np.ndarray, tmp_path: Path) -> None:
    goes_on_from_a_snapshot(config_of(tokens, name), TorchLearner, tokens, tmp_path)


@every_optimizer
def test_its_rate_is_the_one_of_the_step(name: str, tokens: np.ndarray) -> None:
    config = config_of(tokens, name)
    learner = TorchLearner(config)
    before = learner.weights()
    (batch,) = batches_of(tokens, config, 1)
    learner.step(batch, 0.0)
    for key, array in learner.weights().items():
        np.testing.assert_array_equal(array, before[key])
    learner.step(batch, 0.01)
    assert any((array != before[key]).any() for key, array in learner.weights().items())


@every_setting
def test_a_setting_has_an_effect(name: str, setting: str, value: Any, tokens: np.ndarray) -> None:
    usual = weights_after(config_of(tokens, name), tokens, 3)
    changed = weights_after(config_of(tokens, name, **{setting: value}), tokens, 3)
    assert any((changed[key] != array).any() for key, array in usual.items())


WORDS = 1100  # more than have dense gradients


def config_of_words(name: str, **settings: Any) -> RunConfig:
    settings = {"optimizer": name, "dropout": 0.0, "tie_weights": False, **settings}
    return configured(WORDS, **settings)


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    return np.random.default_rng(2).integers(0, WORDS // 2, 4 * 112 + 1).astype(np.int32)


@every_optimizer
def test_it_goes_on_with_a_large_vocabulary(name: str, words: np.ndarray, tmp_path: Path) -> None:
    goes_on_from_a_snapshot(config_of_words(name), TorchLearner, words, tmp_path)


@every_optimizer
def test_a_first_step_is_that_of_dense_gradients(name: str, words: np.ndarray) -> None:
    """Also where gradients are clipped, by their norm and one by one."""
    config = config_of_words(name, clip_norm=0.01, clip_value=1e-4)
    (batch,) = batches_of(words, config, 1)
    sparse, dense = TorchLearner(config), TorchLearner(config)
    dense.model.use_sparse_gradients(False)
    results = [learner.step(batch, 1e-3) for learner in (sparse, dense)]
    assert results[0].gradient_norm == pytest.approx(results[1].gradient_norm, rel=1e-5)
    for key, array in dense.weights().items():
        np.testing.assert_allclose(sparse.weights()[key], array, atol=1e-6, err_msg=key)


def test_adam_updates_the_rows_of_the_batch_alone(words: np.ndarray) -> None:
    config = config_of_words("adam")
    learner = TorchLearner(config)
    for batch in batches_of(words, config, 3):
        last = learner.weights()["embedding.weight"]
        learner.step(batch, 1e-3)
        after = learner.weights()["embedding.weight"]
        changed = (after != last).any(axis=1)
        assert sorted(np.flatnonzero(changed)) == sorted(set(batch.inputs.ravel().tolist()))


def test_rows_are_updated_as_by_sparse_adam() -> None:
    torch.manual_seed(1)
    start = torch.randn(50, 4)
    found = []
    for build in (Adam().build, lambda p, _: torch.optim.SparseAdam(p, lr=1.0)):
        embedding = torch.nn.Embedding.from_pretrained(start.clone(), freeze=False, sparse=True)
        optimizer = build([embedding.weight], 0.0)
        rng = torch.Generator().manual_seed(2)
        for _ in range(5):
            optimizer.param_groups[0]["lr"] = 1e-2
            optimizer.zero_grad()
            embedding(torch.randint(0, 50, (9,), generator=rng)).square().sum().backward()
            optimizer.step()
        found.append(embedding.weight.detach())
    torch.testing.assert_close(found[0], found[1])


STEPS_OF_ALL = """
import sys
sys.modules["torch._dynamo"] = None  # cannot be imported
import torch
from rondel.settings import TrainingConfig
from rondel.training.optimizers import optimizers, state_of_optimizer
for name, cls in optimizers.items():
    print(name, *state_of_optimizer(TrainingConfig(optimizer=name, learning_rate=1.0)))
"""


def test_none_waits_for_the_compiler_of_pytorch() -> None:
    """PyTorch's optimisers import it at their first call, which takes seconds."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS_OF_ALL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(optimizers)
