"""Learning in torch: what an update is, what is clipped, dropped, frozen, shared and cast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from _runs import batches_of, configured
from _settings import model_config, text_config

from rondel.cells import build_cell
from rondel.data.batches import PADDING, Batch
from rondel.errors import InputError
from rondel.kinds import kind_of
from rondel.models.base import TensorBatch
from rondel.models.language_model_module import LanguageModel
from rondel.nn.compiled import language_model_loss
from rondel.nn.dropout import Dropout
from rondel.nn.stack import RecurrentStack
from rondel.text.tokenizers import train_tokenizer
from rondel.training import devices
from rondel.training.learner import Arrays
from rondel.training.torch_learner import TorchLearner

PLAIN = {"optimizer": "sgd", "momentum": 0.0, "clip_norm": 0.0}


@pytest.fixture(scope="module")
def tokens(coffee: str) -> np.ndarray:
    return train_tokenizer(coffee, text_config()).encode(coffee)


def make(tokens: np.ndarray, **settings: Any) -> TorchLearner:
    return TorchLearner(configured(int(tokens.max()) + 1, **settings))


def change(learner: TorchLearner, batch: Batch, rate: float) -> Arrays:
    """What one update adds to the weights, for each unit of the learning rate."""
    before = learner.weights()
    learner.step(batch, rate)
    return {name: (array - before[name]) / rate for name, array in learner.weights().items()}


def norm(arrays: Arrays) -> float:
    return float(np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in arrays.values())))


RATES = {"sgd": 0.5, "rmsprop": 0.005, "adam": 0.01, "adamw": 0.01}


@pytest.mark.parametrize("optimizer", RATES)
def test_every_optimizer_learns(optimizer: str, tokens: np.ndarray) -> None:
    learner = make(tokens, optimizer=optimizer, weight_decay=1e-3)
    losses = [
        learner.step(batch, RATES[optimizer]).loss
        for batch in batches_of(tokens, learner_config(optimizer, tokens), 60)
    ]
    assert losses[0] == pytest.approx(np.log(tokens.max() + 1), rel=0.1)
    assert np.mean(losses[-10:]) < losses[0] - 0.7
    assert learner.updates == 60


def learner_config(optimizer: str, tokens: np.ndarray) -> Any:
    return configured(int(tokens.max()) + 1, optimizer=optimizer)


def test_an_update_is_the_rate_times_the_gradient_and_the_rate_is_the_one_given(
    tokens: np.ndarray,
) -> None:
    (batch,) = batches_of(tokens, configured(2), 1)
    gradients = change(make(tokens, **PLAIN), batch, 0.5)
    for rate in (0.01, 2.0):
        other = change(make(tokens, **PLAIN), batch, rate)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(other[name], gradient, rtol=1e-3, atol=2e-5)
    result = make(tokens, **PLAIN).step(batch, 0.5)
    assert result.gradient_norm == pytest.approx(norm(gradients), rel=1e-3)
    assert result.terms == {"nll": result.loss}
    assert result.loss == pytest.approx(np.log(tokens.max() + 1), rel=0.1)
    # Downhill: a small step takes off as much as the gradient says.
    learner = make(tokens, **PLAIN)
    learner.step(batch, 0.01)
    gained = result.loss - learner.step(batch, 0.01).loss
    assert gained == pytest.approx(0.01 * result.gradient_norm**2, rel=0.05)


def test_momentum_and_weight_decay_are_those_asked_for(tokens: np.ndarray) -> None:
    first, second = batches_of(tokens, configured(2), 2)
    heavy, plain = make(tokens, **{**PLAIN, "momentum": 0.8}), make(tokens, **PLAIN)
    pushed = change(heavy, first, 0.01)
    change(plain, first, 0.01)
    ahead, alone = change(heavy, second, 0.01), change(plain, second, 0.01)
    for name, array in ahead.items():
        np.testing.assert_allclose(array, alone[name] + 0.8 * pushed[name], rtol=1e-2, atol=5e-4)
    decayed = make(tokens, **PLAIN, weight_decay=0.25)
    weights = decayed.weights()
    with_decay, without = change(decayed, first, 0.01), change(make(tokens, **PLAIN), first, 0.01)
    for name, array in with_decay.items():
        expected = without[name] - 0.25 * weights[name]
        np.testing.assert_allclose(array, expected, rtol=1e-2, atol=1e-4)


def test_gradients_are_clipped_by_their_joint_norm(tokens: np.ndarray) -> None:
    (batch,) = batches_of(tokens, configured(2), 1)
    whole = change(make(tokens, **PLAIN), batch, 1.0)
    size = norm(whole)
    settings = {**PLAIN, "clip_norm": size / 4}
    clipped = change(make(tokens, **settings), batch, 1.0)
    assert norm(clipped) == pytest.approx(size / 4, rel=1e-3)
    for name, array in whole.items():
        np.testing.assert_allclose(clipped[name], array / 4, rtol=1e-3, atol=1e-6)
    # What is told is the norm before; a limit that is not reached changes nothing.
    assert make(tokens, **settings).step(batch, 1.0).gradient_norm == pytest.approx(size, rel=1e-3)
    free = change(make(tokens, **{**PLAIN, "clip_norm": 2 * size}), batch, 1.0)
    for name, array in whole.items():
        np.testing.assert_array_equal(free[name], array)


def test_gradients_are_clipped_by_value(tokens: np.ndarray) -> None:
    (batch,) = batches_of(tokens, configured(2), 1)
    whole = change(make(tokens, **PLAIN), batch, 1.0)
    clipped = change(make(tokens, **PLAIN, clip_value=0.01), batch, 1.0)
    reached = 0
    for name, array in whole.items():
        reached += int((np.abs(array) > 0.011).sum())
        np.testing.assert_allclose(clipped[name], np.clip(array, -0.01, 0.01), atol=1e-6)
    assert reached > 20


@pytest.mark.parametrize("tie_weights", [False, True])
def test_a_frozen_embedding_stays_and_the_rest_moves(tie_weights: bool, tokens: np.ndarray) -> None:
    size = 16 if tie_weights else 8
    learner = make(
        tokens, freeze_embedding=True, tie_weights=tie_weights, embedding_size=size,
        optimizer="adamw", weight_decay=0.1,
    )  # fmt: skip
    before = learner.weights()
    for batch in batches_of(tokens, configured(2), 5):
        learner.step(batch, 0.01)
    for name, array in learner.weights().items():
        assert np.array_equal(array, before[name]) == (name == "embedding.weight"), name
    # A snapshot of a learner with parameters left out goes back into one.
    snapshot = learner.snapshot()
    other = make(
        tokens, freeze_embedding=True, tie_weights=tie_weights, embedding_size=size,
        optimizer="adamw", weight_decay=0.1,
    )  # fmt: skip
    other.restore(snapshot)
    for batch in batches_of(tokens, configured(2), 3, skip=5):
        assert other.step(batch, 0.01).loss == learner.step(batch, 0.01).loss


def test_tied_weights_are_one_matrix(tokens: np.ndarray) -> None:
    learner = make(tokens, tie_weights=True, embedding_size=16)
    model = learner.model
    assert isinstance(model, LanguageModel)
    assert model.embedding is not None
    assert model.head.weight is model.embedding.weight
    assert "head.weight" not in learner.weights()
    # Rows of tokens that are never read still learn not to be written.
    before = learner.weights()["embedding.weight"]
    inputs = np.full((16, 4), 5)
    learner.step(Batch(inputs, inputs, True), 0.01)
    moved = np.abs(learner.weights()["embedding.weight"] - before).max(axis=1)
    assert (moved > 0).all()
    untied = make(tokens, tie_weights=False, embedding_size=16, optimizer="sgd")
    before = untied.weights()["embedding.weight"]
    untied.step(Batch(inputs, inputs, True), 0.01)
    moved = np.abs(untied.weights()["embedding.weight"] - before).max(axis=1)
    assert np.flatnonzero(moved).tolist() == [5]


@pytest.mark.parametrize("input_size", [0, 8])
def test_half_precision_trains(input_size: int, tokens: np.ndarray) -> None:
    runs = {}
    if not devices._has_bf16_layers():
        with pytest.raises(InputError, match="no layers of 16 bits for this processor; use fp32"):
            make(tokens, precision="bf16")
        return
    for precision in ("fp32", "bf16"):
        learner = make(tokens, precision=precision, embedding_size=input_size, num_layers=2)
        batches = batches_of(tokens, learner_config("adam", tokens), 40)
        runs[precision] = [learner.step(batch, 0.01).loss for batch in batches]
        for array in learner.weights().values():
            assert array.dtype == np.float32
        assert learner.validate(tokens[:400]) < runs[precision][0] - 0.3
    assert runs["bf16"] != runs["fp32"]
    np.testing.assert_allclose(runs["bf16"], runs["fp32"], rtol=0.03)


def test_what_a_cpu_has_not_is_said(tokens: np.ndarray) -> None:
    with pytest.raises(InputError, match="--precision fp16 needs a GPU"):
        make(tokens, precision="fp16")
    if not torch.backends.mps.is_available():
        with pytest.raises(InputError, match="PyTorch finds no mps device here; use --device cpu"):
            make(tokens, device="mps")


def test_the_state_is_carried_until_the_text_begins_again(tokens: np.ndarray) -> None:
    first, second = batches_of(tokens, configured(2), 2)
    nothing = 1e-30  # a rate that changes no weight
    learner = make(tokens, **PLAIN)
    learner.step(first, nothing)
    carried = learner.step(second, nothing).loss
    fresh = make(tokens, **PLAIN).step(second._replace(fresh=True), nothing).loss
    again = learner.step(second._replace(fresh=True), nothing).loss
    assert again == fresh != carried
    whole = Batch(
        *(np.concatenate(pair) for pair in list(zip(first, second, strict=True))[:2]), True
    )
    both = make(tokens, **PLAIN).step(whole, nothing).loss
    head = make(tokens, **PLAIN).step(first, nothing).loss
    assert both == pytest.approx((head + carried) / 2, rel=1e-6)


def test_the_seed_decides_the_first_weights(tokens: np.ndarray) -> None:
    one, same, other = (make(tokens, seed=seed).weights() for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["head.weight"], other["head.weight"])


def test_dropout_is_off_while_validating(tokens: np.ndarray) -> None:
    plain = make(tokens)
    dropping = make(tokens, dropout=0.9, embedding_dropout=0.9)
    dropping.load_weights(plain.weights())
    assert dropping.validate(tokens[:500]) == plain.validate(tokens[:500])
    (batch,) = batches_of(tokens, configured(2), 1)
    assert dropping.step(batch, 0.01).loss != plain.step(batch, 0.01).loss
    assert dropping.validate(tokens[:500]) == dropping.validate(tokens[:500])


def test_variational_dropout_drops_the_same_at_every_step() -> None:
    torch.manual_seed(1)
    x_TBH = torch.randn(50, 8, 30)
    dropped = Dropout(0.4, variational=True)(x_TBH)
    kept = dropped != 0
    assert (kept == kept[0]).all()
    assert 0.5 < kept[0].float().mean() < 0.7
    assert not (kept[0] == kept[0, 0]).all()  # another mask for every stream
    torch.testing.assert_close(dropped[kept], x_TBH[kept] / 0.6)
    assert not torch.equal(Dropout(0.4, variational=True)(x_TBH) != 0, kept)


def test_plain_dropout_drops_at_every_step_anew() -> None:
    torch.manual_seed(1)
    x_TBH = torch.randn(50, 8, 30)
    kept = Dropout(0.4)(x_TBH) != 0
    assert not (kept == kept[0]).all()
    assert kept.float().mean() == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("variational", [False, True])
def test_no_dropout_in_evaluation_or_at_zero(variational: bool) -> None:
    x_TBH = torch.randn(5, 2, 3)
    assert Dropout(0.5, variational).eval()(x_TBH) is x_TBH
    assert Dropout(0.0, variational).train()(x_TBH) is x_TBH


def test_a_stack_drops_what_each_layer_puts_out_but_never_the_recurrence() -> None:
    torch.manual_seed(1)
    cell = build_cell(model_config(cell="gru"))
    stack = RecurrentStack(cell, 6, 40, 2, dropout=0.5, variational=True)
    x_TBE = torch.randn(7, 3, 6)
    outputs, state = stack(x_TBE, stack.initial_state(3))
    zeros = outputs == 0
    assert (zeros == zeros[0]).all()
    assert 0.3 < zeros.float().mean() < 0.7
    assert (state[0] != 0).all()
    # The first layer's own state does not know of any dropout.
    stack.eval()
    _, undropped = stack(x_TBE, stack.initial_state(3))
    torch.testing.assert_close(state[0][0], undropped[0][0])
    assert not torch.allclose(state[0][1], undropped[0][1])


def test_the_loss_is_the_mean_over_what_counts(tokens: np.ndarray) -> None:
    config = configured(40).model
    model = LanguageModel(config)
    x_TB, y_TB = torch.randint(0, 40, (2, 6, 3), generator=torch.Generator().manual_seed(1))
    logits_TBV, state = model(x_TB, model.initial_state(3))
    nats_TB = -logits_TBV.log_softmax(-1).gather(-1, y_TB[..., None])[..., 0]
    terms, after = model.losses(TensorBatch(x_TB, y_TB), model.initial_state(3), 0)
    assert terms.keys() == {"nll"}
    torch.testing.assert_close(terms["nll"], nats_TB.mean())
    torch.testing.assert_close(after, state)
    masked_TB = y_TB.clone()
    masked_TB[:2, 1:] = PADDING
    terms, _ = model.losses(TensorBatch(x_TB, masked_TB), model.initial_state(3), 0)
    torch.testing.assert_close(terms["nll"], nats_TB[masked_TB != PADDING].mean())


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"embedding_size": 8}, {"head.weight": (40, 16), "embedding.weight": (40, 8)}),
        ({"embedding_size": 0}, {"head.weight": (40, 16)}),
        ({"embedding_size": 16, "tie_weights": True}, {"embedding.weight": (40, 16)}),
    ],
)
def test_arrays_are_named_and_shaped_as_in_a_model_folder(
    settings: dict[str, Any], names: dict[str, tuple[int, ...]]
) -> None:
    config = configured(40, cell="gru", num_layers=2, **settings).model
    model = kind_of(config).module(config)
    exported = model.export()
    width = config.embedding_size or 40
    expected = {"head.bias": (40,), **names}
    for layer, columns in enumerate((width, 16)):
        expected[f"core.weight_ih_l{layer}"] = (48, columns)
        expected[f"core.weight_hh_l{layer}"] = (48, 16)
        expected[f"core.bias_ih_l{layer}"] = expected[f"core.bias_hh_l{layer}"] = (48,)
    assert {name: array.shape for name, array in exported.items()} == expected
    # Everything that is trained is saved, and comes back.
    assert sum(p.numel() for p in model.parameters()) == sum(a.size for a in exported.values())
    doubled = {name: 2 * array for name, array in exported.items()}
    model.load(doubled)
    for name, array in model.export().items():
        np.testing.assert_array_equal(array, doubled[name])


def test_gradients_past_all_bounds_are_infinite_and_nothing_is_said() -> None:
    """Each token's share of the bias can be told, their sum cannot; warnings are errors here."""
    cell = build_cell(configured(3, cell="rnn", hidden_size=2).model)
    shapes = torch.zeros(2, 3), torch.zeros(2, 2), torch.full((2,), 1e-3), torch.zeros(2)
    parameters = [part.requires_grad_() for part in shapes]
    head = torch.tensor([[0.0, 0.0], [3e38, 3e38], [-3e38, -3e38]], requires_grad=True)
    tokens, targets = torch.tensor([[0] * 4, [1] * 4]), torch.full((2, 4), 2)
    state = [torch.zeros(1, 4, 2)]
    loss, _ = language_model_loss(
        cell, parameters, None, head, torch.zeros(3), tokens, targets, state
    )
    loss.backward()  # type: ignore[no-untyped-call]
    by_token, bias = parameters[0].grad, parameters[2].grad
    assert torch.allclose(by_token[:, :2], torch.tensor(3e38))
    assert torch.isinf(bias).all()
