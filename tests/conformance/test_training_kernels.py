"""The compiled training kernels of every cell that has them, against PyTorch and the reference."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from _runs import configured, with_kernel, with_reference
from torch import Tensor, nn
from torch.testing import assert_close

from rondel import kernels
from rondel.cells import build_cell
from rondel.models.base import TensorBatch
from rondel.models.language_model_module import LanguageModel
from rondel.nn import compiled
from rondel.nn.stack import RecurrentStack
from rondel.reference.cells import make_cell
from rondel.reference.model import Model as Reference
from rondel.settings import ModelConfig

VARIANTS = with_kernel()
# Sizes that do and do not fill groups of 16 units, tiles of rows and blocks of steps.
SIZES = [(1, 16, 1, 1), (2, 37, 5, 3), (3, 64, 13, 7), (4, 20, 9, 4), (1, 100, 50, 50)]
every_variant = pytest.mark.parametrize(("cell", "nonlinearity"), VARIANTS)
every_size = pytest.mark.parametrize(("layers", "hidden", "batch", "steps"), SIZES)
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-6}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@contextmanager
def without_kernels() -> Iterator[None]:
    """Run on PyTorch's layers, as where Numba is missing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "applies", lambda *_: False)
        yield


def config(cell: str, nonlinearity: str, **changes: Any) -> ModelConfig:
    shape = configured(23, cell=cell, nonlinearity=nonlinearity).model
    return dataclasses.replace(shape, **changes)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, requires_grad=True)


def gradients_of(loss: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    for leaf in leaves.values():
        leaf.grad = None
    loss.backward()
    return {name: leaf.grad.clone() for name, leaf in leaves.items() if leaf.grad is not None}


def test_kernels_are_usable_where_the_tests_run() -> None:
    assert kernels.usable()


@every_variant
@every_size
def test_stack_equals_plain_layers(
    cell: str, nonlinearity: str, layers: int, hidden: int, batch: int, steps: int
) -> None:
    torch.manual_seed(layers)
    stack = RecurrentStack(build_cell(config(cell, nonlinearity)), 11, hidden, layers)
    x = normal(steps, batch, 11)
    state = tuple(normal(layers, batch, hidden) for _ in stack.cell.states)
    leaves = dict(stack.named_parameters()) | {"x": x}
    leaves |= {f"state{i}": part for i, part in enumerate(state)}
    weights = torch.randn(steps, batch, hidden)

    def run() -> tuple[Tensor, dict[str, Tensor]]:
        out, last = stack(x, state)
        loss = (out * weights).sum() + sum((i + 1) * part.sum() for i, part in enumerate(last))
        return torch.cat([out[-1:], *last]).detach(), gradients_of(loss, leaves)

    fast, fast_gradients = run()
    with without_kernels():
        plain, plain_gradients = run()
    assert_close(fast, plain, **CLOSE)
    assert fast_gradients.keys() == plain_gradients.keys() == leaves.keys()
    for name, gradient in plain_gradients.items():
        scale = float(gradient.abs().max())
        assert_close(fast_gradients[name] / scale, gradient / scale, rtol=0, atol=5e-6, msg=name)


@every_variant
@every_size
@pytest.mark.parametrize("embedding_size", [0, 19])
def test_language_model_equals_plain_path(
    cell: str,
    nonlinearity: str,
    layers: int,
    hidden: int,
    batch: int,
    steps: int,
    embedding_size: int,
) -> None:
    torch.manual_seed(batch)
    model = LanguageModel(
        config(
            cell,
            nonlinearity,
            num_layers=layers,
            hidden_size=hidden,
            embedding_size=embedding_size,
        )
    )
    inputs, targets = torch.randint(0, 23, (2, steps, batch))
    targets[0, 0] = -1 if steps * batch > 1 else targets[0, 0]
    state = tuple(torch.randn(layers, batch, hidden) for _ in model.core.cell.states)

    def run() -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        terms, last = model.losses(TensorBatch(inputs, targets), state, 0)
        gradients = gradients_of(terms["nll"], dict(model.named_parameters()))
        return terms["nll"].detach(), last, gradients

    fast, fast_last, fast_gradients = run()
    with without_kernels():
        plain, plain_last, plain_gradients = run()
    assert_close(fast, plain, **CLOSE)
    for fast_part, plain_part in zip(fast_last, plain_last, strict=True):
        assert_close(fast_part, plain_part.detach(), **CLOSE)
    for name, gradient in plain_gradients.items():
        scale = float(gradient.abs().max())
        assert_close(fast_gradients[name] / scale, gradient / scale, rtol=0, atol=5e-6, msg=name)
    assert fast_gradients.keys() == plain_gradients.keys()


@pytest.mark.parametrize(
    ("cell", "nonlinearity"), [variant for variant in VARIANTS if variant in with_reference()]
)
@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_gradients_equal_the_reference(cell: str, nonlinearity: str, num_layers: int) -> None:
    torch.manual_seed(5)
    model = LanguageModel(config(cell, nonlinearity, num_layers=num_layers, hidden_size=24))
    inputs, targets = torch.randint(0, 23, (2, 7, 5))
    state = tuple(torch.randn(num_layers, 5, 24) for _ in model.core.cell.states)
    parameters = {name: array.astype(np.float64) for name, array in model.export().items()}
    reference = Reference(make_cell(cell, nonlinearity), parameters)
    doubles = tuple(part.double().numpy() for part in state)
    loss, expected, last = reference.loss_and_gradients(inputs.numpy(), targets.numpy(), doubles)

    terms, fast_last = model.losses(TensorBatch(inputs, targets), state, 0)
    terms["nll"].backward()
    assert float(terms["nll"].detach()) == pytest.approx(float(loss), rel=1e-6)
    for fast_part, part in zip(fast_last, last, strict=True):
        np.testing.assert_allclose(fast_part.numpy(), part, atol=2e-6)
    for name, parameter in model.named_arrays().items():
        assert parameter.grad is not None, name
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            parameter.grad.numpy() / scale, expected[name] / scale, atol=3e-6, err_msg=name
        )


@every_variant
def test_many_steps_of_training_end_at_the_same_losses(cell: str, nonlinearity: str) -> None:
    """Rounding differs, but after forty updates the losses still agree."""
    torch.manual_seed(2)
    fast = LanguageModel(config(cell, nonlinearity, num_layers=2, hidden_size=32))
    plain = copy.deepcopy(fast)
    rng = torch.Generator().manual_seed(3)
    pattern = torch.randint(0, 23, (97,), generator=rng)

    def train(model: LanguageModel) -> list[float]:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        state, losses = model.initial_state(6), []
        for step in range(40):
            places = torch.arange(9)[:, None] + 13 * torch.arange(6) + 9 * step
            batch = TensorBatch(pattern[places % 97], pattern[(places + 1) % 97])
            terms, state = model.losses(batch, state, step)
            state = tuple(part.detach() for part in state)
            optimizer.zero_grad()
            terms["nll"].backward()
            optimizer.step()
            losses.append(float(terms["nll"].detach()))
        return losses

    fast_losses = train(fast)
    with without_kernels():
        plain_losses = train(plain)
    assert fast_losses[-1] < 0.8 * fast_losses[0]
    np.testing.assert_allclose(fast_losses, plain_losses, rtol=2e-3)


@every_variant
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_one_pass_equals_three_with_the_state_carried(
    cell: str, nonlinearity: str, threads: int
) -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(4)
    stack = RecurrentStack(build_cell(config(cell, nonlinearity)), 8, 40, 2)
    x, state = torch.randn(12, 7, 8), stack.initial_state(7)
    with torch.no_grad():
        whole, whole_last = stack(x, state)
        parts = []
        for chunk in x.split(4):
            out, state = stack(chunk, state)
            parts.append(out)
    assert torch.equal(torch.cat(parts), whole)
    assert all(map(torch.equal, state, whole_last))


def test_rows_of_a_batch_equal_the_rows_alone() -> None:
    stack = RecurrentStack(build_cell(config("lstm", "tanh")), 8, 40, 2)
    x = torch.randn(6, 9, 8)
    with torch.no_grad():
        together = stack(x, stack.initial_state(9))[0]
        for row in range(9):
            alone = stack(x[:, row : row + 1], stack.initial_state(1))[0]
            assert torch.equal(alone[:, 0], together[:, row])


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_zeroes_and_scales(variational: bool) -> None:
    torch.manual_seed(1)
    stack = RecurrentStack(
        build_cell(config("rnn", "tanh")), 6, 48, 1, dropout=0.4, variational=variational
    )
    x, state = torch.randn(30, 12, 6), stack.initial_state(12)
    dropped = stack(x, state)[0]
    stack.eval()
    kept = stack(x, state)[0]
    zero = dropped == 0
    assert float(zero.float().mean()) == pytest.approx(0.4, abs=0.05)
    assert_close(dropped[~zero], (kept / 0.6)[~zero])
    same = bool((zero == zero[:1]).all())
    assert same is variational


def test_gradients_pass_through_dropout_as_through_its_factors() -> None:
    """With the same masks, the gradient equals a finite difference of the loss."""
    torch.manual_seed(1)
    stack = RecurrentStack(build_cell(config("gru", "tanh")), 6, 48, 2, dropout=0.5)
    x, state = normal(10, 4, 6), stack.initial_state(4)
    rng = torch.get_rng_state()
    stack(x, state)[0].square().sum().backward()
    assert x.grad is not None
    direction, size = torch.randn_like(x), 1e-2

    def value(shift: float) -> float:
        torch.set_rng_state(rng)  # the same masks
        with torch.no_grad():
            return float(stack(x + shift * direction, state)[0].double().square().sum())

    slope = (value(size) - value(-size)) / (2 * size)
    assert float((x.grad * direction).sum()) == pytest.approx(slope, rel=5e-3)


def test_two_forward_passes_before_a_backward_pass_do_not_share_memory() -> None:
    torch.manual_seed(6)
    stack = RecurrentStack(build_cell(config("lstm", "tanh")), 5, 24, 1)
    first, second = normal(4, 3, 5), normal(4, 3, 5)
    state = stack.initial_state(3)
    together = stack(first, state)[0].sum() + 2 * stack(second, state)[0].sum()
    together.backward()
    grads = [first.grad, second.grad]
    first.grad = second.grad = None
    stack(first, state)[0].sum().backward()
    (2 * stack(second, state)[0].sum()).backward()
    assert all(
        a is not None and b is not None
        for a, b in zip(grads, (first.grad, second.grad), strict=True)
    )
    assert_close(grads[0], first.grad)
    assert_close(grads[1], second.grad)


def test_a_second_backward_through_a_pass_is_refused() -> None:
    stack = RecurrentStack(build_cell(config("lstm", "tanh")), 5, 24, 1)
    loss = stack(normal(4, 3, 5), stack.initial_state(3))[0].sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward"):
        loss.backward()


def test_gradients_accumulate_over_batches() -> None:
    torch.manual_seed(7)
    model = LanguageModel(config("lstm", "tanh", hidden_size=32))
    batch = TensorBatch(*torch.randint(0, 23, (2, 5, 4)))
    for _ in range(2):
        terms, _ = model.losses(batch, model.initial_state(4), 0)
        terms["nll"].backward()
    twice = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    terms, _ = model.losses(batch, model.initial_state(4), 0)
    (2 * terms["nll"]).backward()
    for name, parameter in model.named_parameters():
        assert_close(twice[name], parameter.grad)


def test_frozen_parameters_get_no_gradient() -> None:
    model = LanguageModel(config("lstm", "tanh", embedding_size=9))
    assert isinstance(model.embedding, nn.Embedding)
    model.embedding.weight.requires_grad_(False)
    batch = TensorBatch(*torch.randint(0, 23, (2, 5, 4)))
    terms, _ = model.losses(batch, model.initial_state(4), 0)
    terms["nll"].backward()
    assert model.embedding.weight.grad is None
    assert model.head.weight.grad is not None


def test_gradients_reach_the_last_state_past_the_dropout() -> None:
    """Dropout acts on a layer's output, not on its state."""
    found = []
    for dropout in (0.0, 0.5):
        torch.manual_seed(8)
        stack = RecurrentStack(build_cell(config("lstm", "tanh")), 5, 24, 1, dropout)
        x = normal(6, 4, 5)
        _, last = stack(x, stack.initial_state(4))
        torch.stack([part.square().sum() for part in last]).sum().backward()
        assert x.grad is not None
        found.append([x.grad, *(parameter.grad for parameter in stack.parameters())])
    for without, with_dropout in zip(*found, strict=True):
        assert_close(with_dropout, without)


@pytest.mark.parametrize("size", [8, 16, 24])
def test_a_gradient_is_not_written_over_by_the_next_pass(size: int) -> None:
    torch.manual_seed(9)
    model = LanguageModel(config("lstm", "tanh", hidden_size=16, embedding_size=size))
    batches = [TensorBatch(*torch.randint(0, 23, (2, 5, 4))) for _ in range(2)]

    def loss(batch: TensorBatch) -> Tensor:
        return model.losses(batch, model.initial_state(4), 0)[0]["nll"]

    parameters = list(model.parameters())
    alone = [g.clone() for g in torch.autograd.grad(loss(batches[0]), parameters)]
    first = loss(batches[0])
    loss(batches[1])
    for gradient, expected in zip(torch.autograd.grad(first, parameters), alone, strict=True):
        assert_close(gradient, expected, rtol=0, atol=0)


def test_without_gradients_nothing_is_kept_or_computed_for_backward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = LanguageModel(config("lstm", "tanh"))
    batch, state = TensorBatch(*torch.randint(0, 23, (2, 5, 4))), model.initial_state(4)
    put_back: list[Any] = []
    monkeypatch.setattr(
        compiled._workspaces, "put_back", lambda *workspace: put_back.append(workspace)
    )
    monkeypatch.setattr(compiled._LossStep, "_gradients", None)
    with torch.no_grad():
        model(batch.inputs, state)
        assert len(put_back) == 1
        assert model.losses(batch, state, 0)[0]["nll"] > 0
        assert len(put_back) == 2


def test_input_that_kernels_would_read_out_of_bounds_is_refused() -> None:
    model = LanguageModel(config("lstm", "tanh", embedding_size=9))
    good, state = torch.zeros(5, 4, dtype=torch.int64), model.initial_state(4)
    for inputs, targets in ((good + 23, good), (good - 1, good), (good, good + 23)):
        with pytest.raises(IndexError, match="vocabulary"):
            model.losses(TensorBatch(inputs, targets), state, 0)
    with pytest.raises(ValueError, match="state"):
        model.losses(TensorBatch(good, good), model.initial_state(2), 0)
    with pytest.raises(ValueError, match="state"):
        model.core(torch.zeros(5, 4, 9), model.initial_state(2))
    with pytest.raises(ValueError, match="wide"):
        model.core(torch.zeros(5, 4, 7), state)
