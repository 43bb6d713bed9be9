"""The blocked head of large vocabularies, against PyTorch's cross-entropy in double precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from _runs import configured
from torch import Tensor
from torch.nn import functional

from rondel.kernels.training import blocked_head
from rondel.models.base import Model, TensorBatch
from rondel.nn import blocked_loss
from rondel.nn.blocked_loss import head_nll, mean_head_nll

# Positions, inputs and words that do and do not fill panels, tiles and blocks.
SIZES = [(1, 8, 1025), (37, 20, 2000), (64, 48, 1536), (130, 33, 1030)]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def drawn(positions: int, size: int, words: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(positions)
    x, weight, bias = torch.randn(positions, size), torch.randn(words, size), torch.randn(words)
    targets = torch.randint(0, words, (positions,))
    if positions > 1:
        targets[3], targets[5] = -1, words - 1
    return x, weight, bias, targets


def gradients(weights: Tensor, *tensors: Tensor, double: bool) -> list[Tensor]:
    *leaves, targets = tensors
    leaves = [(leaf.double() if double else leaf.clone()).requires_grad_() for leaf in leaves]
    if double:
        logits = functional.linear(*leaves)
        nll = functional.cross_entropy(logits, targets, ignore_index=-1, reduction="none")
    else:
        nll = head_nll(*leaves, targets)
    (nll * weights).sum().backward()
    return [nll.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("even", [True, False])
def test_losses_and_gradients_are_those_of_the_definition(
    size: tuple[int, int, int], even: bool
) -> None:
    tensors = drawn(*size)
    weights = torch.full((size[0],), 0.5) if even else torch.rand(size[0])
    expected = gradients(weights, *tensors, double=True)
    found = gradients(weights, *tensors, double=False)
    for one, other in zip(found, expected, strict=True):
        scale = float(other.abs().max())
        np.testing.assert_allclose(one.numpy() / scale, other.numpy() / scale, atol=2e-6)


def test_chunks_of_positions_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, weights = drawn(300, 40, 1100), torch.full((300,), 1 / 300)
    expected = gradients(weights, *tensors, double=True)
    monkeypatch.setattr(blocked_head, "FEWEST_POSITIONS", 64)
    monkeypatch.setattr(blocked_head, "LOGITS_BYTES", 0)
    assert blocked_head.positions_of_chunk(300, 1100) == 64
    for one, other in zip(gradients(weights, *tensors, double=False), expected, strict=True):
        scale = float(other.abs().max())
        np.testing.assert_allclose(one.numpy() / scale, other.numpy() / scale, atol=2e-6)


def test_two_threads_compute_the_bits_of_one() -> None:
    tensors, weights = drawn(130, 33, 1500), torch.full((130,), 1 / 129)
    together = gradients(weights, *tensors, double=False)
    torch.set_num_threads(1)
    alone = gradients(weights, *tensors, double=False)
    assert all(map(torch.equal, together, alone))


def test_extreme_logits_keep_their_losses() -> None:
    """A distribution with nearly all in one word, and words below the smallest float."""
    x, weight, bias = torch.ones(2, 4), torch.zeros(1100, 4), torch.zeros(1100)
    bias[700], bias[3] = 300.0, -200.0
    targets = torch.tensor([700, 3])
    nll = head_nll(x, weight, bias, targets)
    expected = functional.cross_entropy(
        functional.linear(x, weight, bias).double(), targets, reduction="none"
    )
    np.testing.assert_allclose(nll.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bad", [-2, 1100])
def test_targets_outside_the_vocabulary_are_refused(bad: int) -> None:
    x, weight, bias, targets = drawn(6, 8, 1100)
    targets[0] = bad
    with pytest.raises(IndexError, match="vocabulary"):
        head_nll(x, weight, bias, targets)


def test_a_mean_over_no_target_is_no_number() -> None:
    head = torch.nn.Linear(8, 1100)
    x, targets = torch.randn(2, 3, 8), torch.full((2, 3), -1)
    assert mean_head_nll(x, head, targets).isnan()


@pytest.mark.parametrize("kind", ["language-model", "bidirectional"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_models_with_a_large_vocabulary_learn_as_with_all_logits(
    kind: str, tied: bool, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tied weights, dropped embeddings, and every model that has such a head."""
    from rondel.kinds import kinds

    shape = configured(
        1100,
        model=kind,
        hidden_size=24,
        embedding_size=24,
        tie_weights=tied,
        dropout=dropout,
        embedding_dropout=dropout,
    ).model
    torch.manual_seed(4)
    model: Model = kinds[kind].module(shape).train()
    batch = TensorBatch(*torch.randint(0, 1100, (2, 7, 5)), leftward=2)

    def run() -> list[Tensor]:
        torch.manual_seed(5)
        model.zero_grad()
        terms, _ = model.losses(batch, model.initial_state(5), 0)
        torch.stack(list(terms.values())).sum().backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        return [torch.stack(list(terms.values())).detach(), *grads]

    blocked = run()
    monkeypatch.setattr(blocked_loss, "SMALLEST_BLOCKED_VOCABULARY", 2000)
    for one, other in zip(blocked, run(), strict=True):
        scale = float(other.abs().max())
        np.testing.assert_allclose(one.numpy() / scale, other.numpy() / scale, atol=1e-5)
