"""Gradients: every cell's against numeric ones, and the reference's against numeric and torch's.

A cell need not have a reference; one that has it must agree with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from _runs import variants, with_reference
from _settings import model_config
from torch.func import functional_call

from rondel.cells import build_cell, numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.nn.layers import SteppedLayer
from rondel.reference.cells import Array, State, make_cell
from rondel.reference.model import Model, cross_entropy, initial_parameters
from rondel.training.numpy_learner import reference_cells

V, H, B, T = 7, 5, 3, 6
INPUTS: dict[str, dict[str, Any]] = {
    "one-hot": {"embedding_size": 0},
    "embedding": {"embedding_size": 4},
    "tied": {"embedding_size": H, "tie_weights": True},
}


VARIANTS = with_reference()


def make_model(
    name: str, nonlinearity: str, num_layers: int, inputs: str, dtype: Any = np.float64
) -> Model:
    cell = make_cell(name, nonlinearity)
    parameters = initial_parameters(cell, V, H, num_layers, **INPUTS[inputs], seed=3)
    return Model(cell, {key: array.astype(dtype) for key, array in parameters.items()})


def batch(model: Model) -> tuple[Array, Array, State]:
    """Tokens, their targets, and a carried state that is not zero."""
    rng = np.random.default_rng(8)
    x_TB, y_TB = rng.integers(0, V - 1, (2, T, B))  # token V - 1 is never read: its gradient is 0
    state = tuple(rng.normal(size=part.shape).astype(part.dtype) for part in model.initial_state(B))
    return x_TB, y_TB, state


@pytest.mark.parametrize(("name", "nonlinearity"), list(variants()))
def test_a_cells_gradients_equal_numeric_ones(name: str, nonlinearity: str) -> None:
    """Autograd's gradients through `pointwise`, by input, state and every parameter."""
    torch.manual_seed(4)
    layer = SteppedLayer(build_cell(model_config(cell=name, nonlinearity=nonlinearity)), 4, H)
    layer.double()
    parameters = layer.parameters_by_name()
    states = len(layer.cell.states)
    x_TBE = torch.randn(T, B, 4, dtype=torch.float64, requires_grad=True)
    state = [
        (torch.rand(B, H, dtype=torch.float64) - 0.5).requires_grad_() for _ in layer.cell.states
    ]

    def run(x_TBE: torch.Tensor, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        changed = dict(zip(parameters, leaves[states:], strict=True))
        outputs_TBH, last = functional_call(layer, changed, (x_TBE, leaves[:states]))
        return outputs_TBH, *last

    assert torch.autograd.gradcheck(run, (x_TBE, *state, *parameters.values()))


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("name", "nonlinearity"), VARIANTS)
def test_gradients_equal_central_differences(
    name: str, nonlinearity: str, num_layers: int, inputs: str
) -> None:
    model = make_model(name, nonlinearity, num_layers, inputs)
    x_TB, y_TB, state = batch(model)
    _, gradients, _ = model.loss_and_gradients(x_TB, y_TB, state)
    assert gradients.keys() == model.parameters.keys()

    def loss() -> float:
        return cross_entropy(model.forward(x_TB, state)[0], y_TB)[0]

    rng, step = np.random.default_rng(0), 1e-5
    for key, array in model.parameters.items():
        entries, derived = array.reshape(-1), gradients[key].reshape(-1)
        assert gradients[key].shape == array.shape
        for place in rng.choice(array.size, min(array.size, 6), replace=False):
            kept = entries[place]
            entries[place] = kept + step
            above = loss()
            entries[place] = kept - step
            below = loss()
            entries[place] = kept
            numeric = (above - below) / (2 * step)
            # The absolute part is the rounding of two losses near 2, divided by 2e-5.
            assert derived[place] == pytest.approx(numeric, rel=1e-6, abs=1e-10), key


class TorchModel(torch.nn.Module):
    """The same model built of torch's modules, with the reference's parameters."""

    def __init__(self, model: Model, name: str, nonlinearity: str) -> None:
        super().__init__()
        arrays = {key: torch.from_numpy(array.copy()) for key, array in model.parameters.items()}
        options = {"nonlinearity": nonlinearity} if name == "rnn" else {}
        width = arrays["core.weight_ih_l0"].shape[1]
        layers = sum("weight_hh" in key for key in arrays)
        # Of a tied matrix's two names, `named_parameters` gives the first.
        self.embedding = torch.nn.Embedding(V, width) if "embedding.weight" in arrays else None
        self.core = getattr(torch.nn, name.upper())(width, H, layers, **options)
        self.head = torch.nn.Linear(H, V)
        if "head.weight" not in arrays:
            assert self.embedding is not None
            self.head.weight = self.embedding.weight
        self.to(arrays["head.bias"].dtype)
        missing, unexpected = self.load_state_dict(arrays, strict=False)
        assert unexpected == []
        assert set(missing) <= {"head.weight"}

    def forward(self, x_TB: Array, state: State) -> tuple[torch.Tensor, list[torch.Tensor]]:
        x = torch.from_numpy(x_TB)
        if self.embedding is not None:
            vectors = self.embedding(x)
        else:
            vectors = torch.nn.functional.one_hot(x, V).to(self.head.bias.dtype)
        given = tuple(torch.from_numpy(part) for part in state)
        outputs, end = self.core(vectors, given if len(given) > 1 else given[0])
        return self.head(outputs), [end] if isinstance(end, torch.Tensor) else [*end]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("name", "nonlinearity"), VARIANTS)
def test_loss_state_and_gradients_equal_torch(
    name: str, nonlinearity: str, num_layers: int, inputs: str, dtype: Any, tolerance: float
) -> None:
    model = make_model(name, nonlinearity, num_layers, inputs, dtype)
    x_TB, y_TB, state = batch(model)
    loss, gradients, next_state = model.loss_and_gradients(x_TB, y_TB, state)

    twin = TorchModel(model, name, nonlinearity)
    logits_TBV, twin_state = twin(x_TB, state)
    twin_loss = torch.nn.functional.cross_entropy(
        logits_TBV.reshape(-1, V), torch.from_numpy(y_TB).reshape(-1)
    )
    torch.autograd.backward(twin_loss)

    assert loss == pytest.approx(twin_loss.item(), rel=tolerance)
    for mine, theirs in zip(next_state, twin_state, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, theirs.detach(), rtol=tolerance, atol=tolerance)
    twins = dict(twin.named_parameters())
    assert twins.keys() == gradients.keys()
    for key, gradient in gradients.items():
        assert gradient.dtype == dtype
        theirs = twins[key].grad
        assert theirs is not None
        np.testing.assert_allclose(
            gradient, theirs.numpy(), rtol=tolerance, atol=tolerance, err_msg=key
        )


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("name", "nonlinearity"), VARIANTS)
def test_registered_cell_equals_the_reference(
    name: str, nonlinearity: str, num_layers: int
) -> None:
    model = make_model(name, nonlinearity, num_layers, "embedding")
    x_TB, _, state = batch(model)
    logits_TBV, next_state, _ = model.forward(x_TB, state)
    cell = build_cell(model_config(cell=name, nonlinearity=nonlinearity, hidden_size=H))
    assert (cell.gates, cell.states) == (model.cell.gates, model.cell.states)

    for xp, convert in ((numpy_namespace, np.asarray), (torch, torch.from_numpy)):
        arrays: dict[str, Any] = {key: convert(part) for key, part in model.parameters.items()}
        outputs, ends = arrays["embedding.weight"][x_TB], []
        for number in range(num_layers):
            layer = LayerParameters.of(arrays, number, "core.")
            start = tuple(convert(part[number]) for part in state)
            steps, end = cell.sequence(xp, layer, outputs, start)
            outputs = np.stack(steps) if xp is numpy_namespace else torch.stack(steps)
            ends.append([np.asarray(part) for part in end])
        logits = outputs @ arrays["head.weight"].T + arrays["head.bias"]
        np.testing.assert_allclose(logits_TBV, np.asarray(logits), rtol=1e-12, atol=1e-13)
        for part, *theirs in zip(next_state, *ends, strict=True):
            np.testing.assert_allclose(part, np.stack(theirs), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", reference_cells())
def test_initial_biases_equal_the_registered_cells(name: str) -> None:
    cell = build_cell(model_config(cell=name, hidden_size=H, forget_bias=1.5))
    parameters = initial_parameters(make_cell(name), V, H, 2, forget_bias=1.5)
    chosen = cell.initial_bias()
    for gate in cell.gates:
        rows = cell.gate_rows(gate, H)
        for layer in range(2):
            bias_ih = parameters[f"core.bias_ih_l{layer}"][rows]
            bias_hh = parameters[f"core.bias_hh_l{layer}"][rows]
            if gate in chosen:
                assert bias_ih.tolist() == [chosen[gate]] * H
                assert bias_hh.tolist() == [0.0] * H
            else:
                assert len({*bias_ih.tolist(), *bias_hh.tolist()}) == 2 * H
                assert max(abs(bias_ih).max(), abs(bias_hh).max()) <= H**-0.5
