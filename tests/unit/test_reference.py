"""The NumPy reference: its parameters, invariants, optimiser and training, and its command."""

from __future__ import annotations

import collections
import os
import pydoc_data.topics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rondel.reference
from rondel.reference import (
    Model,
    RMSprop,
    clip_by_norm,
    clip_by_value,
    initial_parameters,
    make_cell,
)
from rondel.reference.cells import Array
from rondel.reference.model import cross_entropy
from rondel.reference.training_loop import sample, train

PROSE = pydoc_data.topics.topics["assignment"]
NAMES = ("rnn", "gru", "lstm")


def as_tokens(text: str) -> tuple[list[str], Array]:
    characters, tokens_N = np.unique(list(text), return_inverse=True)
    return characters.tolist(), tokens_N


def small_model(name: str, dtype: Any = np.float64, **options: Any) -> Model:
    cell = make_cell(name)
    parameters = initial_parameters(cell, 11, 8, 2, **options)
    return Model(cell, {key: array.astype(dtype) for key, array in parameters.items()})


# Shape of the package


def test_package_is_short_and_imports_numpy_alone() -> None:
    files = sorted(Path(rondel.reference.__path__[0]).glob("*.py"))
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) < 300
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith(("import ", "from ")):
                root = line.split()[1]
                assert (
                    root.startswith(("numpy", "rondel.reference"))
                    or root.split(".")[0] in sys.stdlib_module_names
                ), f"{file.name}: {line}"


# Parameters


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("embedding_size", [0, 6])
def test_parameters_are_named_and_shaped_as_torch(name: str, embedding_size: int) -> None:
    parameters = initial_parameters(make_cell(name), 11, 8, 3, embedding_size)
    core = getattr(torch.nn, name.upper())(embedding_size or 11, 8, 3)
    expected = {f"core.{key}": tuple(part.shape) for key, part in core.named_parameters()}
    expected |= {"head.weight": (11, 8), "head.bias": (11,)}
    if embedding_size:
        expected["embedding.weight"] = (11, 6)
    assert {key: array.shape for key, array in parameters.items()} == expected
    assert {array.dtype for array in parameters.values()} == {np.dtype(np.float32)}


def test_parameters_start_uniform_within_one_over_root_h_and_an_embedding_normal() -> None:
    parameters = initial_parameters(make_cell("gru"), 90, 64, 1, 32)
    embedding = parameters.pop("embedding.weight")
    assert embedding.mean() == pytest.approx(0, abs=0.1)
    assert embedding.std() == pytest.approx(1, abs=0.1)
    for array in parameters.values():
        assert abs(array).max() <= 1 / 8
        assert array.std() == pytest.approx(1 / 8 / 3**0.5, rel=0.2)


def test_tied_weights_are_one_matrix_in_the_heads_range() -> None:
    parameters = initial_parameters(make_cell("rnn"), 90, 64, 1, 64, tie_weights=True)
    assert "head.weight" not in parameters
    assert parameters["embedding.weight"].shape == (90, 64)
    assert abs(parameters["embedding.weight"]).max() <= 1 / 8


def test_parameters_depend_on_the_seed_only() -> None:
    cell = make_cell("lstm")
    first, same, other = (initial_parameters(cell, 11, 8, seed=seed) for seed in (4, 4, 5))
    assert all((first[key] == same[key]).all() for key in first)
    assert (first["core.weight_hh_l0"] != other["core.weight_hh_l0"]).any()


# Sequences, steps and batches


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_equals_three_and_repeated_steps(name: str) -> None:
    model = small_model(name)
    x_TB = np.random.default_rng(0).integers(0, 11, (12, 3))
    whole, end, _ = model.forward(x_TB, model.initial_state(3))
    for length in (4, 1):
        state, parts = model.initial_state(3), []
        for start in range(0, 12, length):
            logits_TBV, state, _ = model.forward(x_TB[start : start + length], state)
            parts.append(logits_TBV)
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-12, atol=1e-14)
        for mine, theirs in zip(state, end, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_streams_of_a_batch_do_not_mix_and_no_state_is_kept(name: str) -> None:
    model = small_model(name)
    x_TB = np.random.default_rng(0).integers(0, 11, (9, 4))
    start = model.initial_state(4)
    together, end, _ = model.forward(x_TB, start)
    assert all((part == 0).all() for part in start)
    for stream in (3, 1):
        alone, alone_end, _ = model.forward(x_TB[:, [stream]], model.initial_state(1))
        np.testing.assert_allclose(together[:, [stream]], alone, rtol=1e-12, atol=1e-14)
        for mine, theirs in zip(end, alone_end, strict=True):
            np.testing.assert_allclose(mine[:, [stream]], theirs, rtol=1e-12, atol=1e-14)


def test_extreme_values_stay_finite() -> None:
    logits_TBV = np.array([[[1e4, -1e4, 0.0]]], np.float32)
    loss, d_logits_TBV = cross_entropy(logits_TBV, np.array([[1]]))
    assert loss == pytest.approx(2e4)
    np.testing.assert_allclose(d_logits_TBV, [[[1, -1, 0]]], atol=1e-7)
    for name in NAMES:
        model = small_model(name, np.float32)
        for array in model.parameters.values():
            array *= 1e4
        logits_TBV, _, _ = model.forward(np.zeros((3, 1), int), model.initial_state(1))
        assert np.isfinite(logits_TBV).all()


# Optimiser and clipping


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_rmsprop_equals_torch_over_twenty_steps(dtype: Any, tolerance: float) -> None:
    rng = np.random.default_rng(2)
    parameters = {"a": rng.normal(size=(4, 3)).astype(dtype), "b": rng.normal(size=5).astype(dtype)}
    twins = {key: torch.from_numpy(array.copy()) for key, array in parameters.items()}
    mine, theirs = RMSprop(rho=0.8), torch.optim.RMSprop(twins.values(), alpha=0.8, eps=1e-8)
    for step in range(20):
        rate = 0.01 / (step + 1)
        theirs.param_groups[0]["lr"] = rate
        gradients = {key: rng.normal(size=p.shape).astype(dtype) for key, p in parameters.items()}
        for key, gradient in gradients.items():
            twins[key].grad = torch.from_numpy(gradient.copy())
        mine.update(parameters, gradients, rate)
        theirs.step()
    for key, array in parameters.items():
        assert array.dtype == mine.mean_square[key].dtype == dtype
        np.testing.assert_allclose(array, twins[key].numpy(), rtol=tolerance)
        average = theirs.state[twins[key]]["square_avg"].numpy()
        np.testing.assert_allclose(mine.mean_square[key], average, rtol=tolerance)


def test_rmsprop_resumes_from_its_mean_square_bit_for_bit() -> None:
    rng = np.random.default_rng(2)
    gradients = [{"a": rng.normal(size=6)} for _ in range(6)]
    whole, halves = {"a": np.ones(6)}, {"a": np.ones(6)}
    optimizer, first, second = RMSprop(), RMSprop(), RMSprop()
    for gradient in gradients:
        optimizer.update(whole, gradient, 0.1)
    for gradient in gradients[:3]:
        first.update(halves, gradient, 0.1)
    second.mean_square = {key: array.copy() for key, array in first.mean_square.items()}
    for gradient in gradients[3:]:
        second.update(halves, gradient, 0.1)
    assert (whole["a"] == halves["a"]).all()


def test_clip_by_value_changes_only_entries_beyond_the_limit() -> None:
    gradients = {"a": np.array([-9.0, 0.5, 3.0]), "b": np.array([[2.0]])}
    clip_by_value(gradients, 2)
    assert gradients["a"].tolist() == [-2, 0.5, 2]
    assert gradients["b"].tolist() == [[2]]


@pytest.mark.parametrize("limit", [1.0, 5.0, 100.0, np.inf])
def test_clip_by_norm_equals_torch(limit: float) -> None:
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0], [12.0]])}
    twins = [torch.zeros(2).double(), torch.zeros(2, 1).double()]
    for twin, gradient in zip(twins, gradients.values(), strict=True):
        twin.grad = torch.from_numpy(gradient.copy())
    assert clip_by_norm(gradients, limit) == pytest.approx(13)
    torch.nn.utils.clip_grad_norm_(twins, limit)
    for twin, gradient in zip(twins, gradients.values(), strict=True):
        assert twin.grad is not None
        np.testing.assert_allclose(gradient, twin.grad.numpy(), rtol=1e-12)


# Learning


def unigram_entropy(tokens_N: Array) -> float:
    shares = np.array(list(collections.Counter(tokens_N.tolist()).values())) / len(tokens_N)
    return float(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize("name", NAMES)
def test_training_on_prose_beats_the_unigram_entropy(name: str) -> None:
    characters, tokens_N = as_tokens(PROSE[:6000])
    cell = make_cell(name)
    model = Model(cell, initial_parameters(cell, len(characters), 32))
    losses = list(train(model, tokens_N, 10, batch_size=8, seq_length=32, learning_rate=1e-2))
    assert losses[0] == pytest.approx(np.log(len(characters)), abs=0.2)
    assert np.mean(losses[-20:]) < unigram_entropy(tokens_N) - 0.5
    assert all(array.dtype == np.float32 for array in model.parameters.values())


def test_training_reads_every_stream_in_order_and_carries_the_state() -> None:
    """With a negligible learning rate, an epoch's mean loss is that of one pass over the text."""
    tokens_N = np.random.default_rng(0).integers(0, 11, 3 * 20 + 1)
    model = small_model("lstm")
    losses = list(train(model, tokens_N, 1, batch_size=3, seq_length=7, learning_rate=1e-12))
    x_TB, y_TB = tokens_N[:-1].reshape(3, 20).T, tokens_N[1:].reshape(3, 20).T
    expected, _, _ = model.loss_and_gradients(x_TB, y_TB, model.initial_state(3))
    assert np.average(losses, weights=[7, 7, 6]) == pytest.approx(expected, abs=1e-8)


def test_training_twice_ends_in_the_same_bits() -> None:
    _, tokens_N = as_tokens(PROSE[:1500])
    ends = []
    for _ in range(2):
        model = Model(make_cell("gru"), initial_parameters(make_cell("gru"), 90, 16))
        ends.append((list(train(model, tokens_N, 2)), model.parameters["head.weight"]))
    assert ends[0][0] == ends[1][0]
    assert (ends[0][1] == ends[1][1]).all()


def test_text_too_short_for_the_streams_is_refused() -> None:
    with pytest.raises(ValueError, match="reshape"):
        next(train(small_model("rnn"), np.zeros(20, int), 1))


@pytest.mark.parametrize("name", NAMES)
def test_sample_of_a_repetitive_text_repeats_it(name: str) -> None:
    refrain = "a rondel comes back to where it began, "
    characters, tokens_N = as_tokens(refrain * 60)
    cell = make_cell(name)
    model = Model(cell, initial_parameters(cell, len(characters), 48))
    for _ in train(model, tokens_N, 14, batch_size=4, seq_length=50, learning_rate=1e-2):
        pass
    drawn = sample(model, tokens_N[:30], 150, np.random.default_rng(7), temperature=0.5)
    assert "".join(characters[token] for token in drawn) == (refrain * 60)[:180]


def test_same_seed_same_sample() -> None:
    model, prime = small_model("lstm", np.float32), np.array([1, 2])
    first, same, other = (
        sample(model, prime, 60, np.random.default_rng(seed), temperature=1.0).tolist()
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other
    assert first[:2] == [1, 2]
    assert len(first) == 62


def test_sample_draws_by_the_softmax_at_its_temperature() -> None:
    cell = make_cell("rnn")
    zeros = {key: 0 * array for key, array in initial_parameters(cell, 3, 4).items()}
    zeros["head.bias"] = np.log([0.6, 0.3, 0.1]).astype(np.float32)
    for temperature in (1.0, 0.5):
        drawn = sample(
            Model(cell, zeros), np.array([0]), 4000, np.random.default_rng(0), temperature
        )
        expected = np.array([0.6, 0.3, 0.1]) ** (1 / temperature)
        shares = np.bincount(drawn[1:], minlength=3) / 4000
        np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.025)


# The command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rondel.reference", *arguments],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "OPENBLAS_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )


def test_command_trains_on_a_text_and_prints_samples(tmp_path: Path) -> None:
    text = tmp_path / "book.txt"
    text.write_text(PROSE, encoding="utf-8")
    result = run(str(text), "--cell", "rnn", "--hidden-size", "32", "--epochs", "25")
    assert (result.returncode, result.stderr) == (0, "")
    losses = [
        float(line.split()[2]) for line in result.stdout.splitlines() if line.startswith("step ")
    ]
    assert len(losses) >= 2
    assert losses[-1] < losses[0] - 1
    assert set(result.stdout.split("nats/char\n")[-1][-501:]) <= {*PROSE, "\n"}


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (None, (), "cannot read"),
        (b"", (), "at least 100 characters"),
        (b"\xff\xfe" * 80, (), "cannot read"),
        (b"words " * 40, ("--hidden-size", "0"), "at least 1"),
    ],
)
def test_command_refuses_in_one_line(
    tmp_path: Path, content: bytes | None, options: tuple[str, ...], said: str
) -> None:
    text = tmp_path / "book.txt"
    if content is not None:
        text.write_bytes(content)
    result = run(str(text), *options)
    assert result.returncode == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
