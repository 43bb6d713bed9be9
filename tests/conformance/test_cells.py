"""Every registered cell in torch: layers and stacks in any chunking, and against torch.nn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _runs import logits_of, variants
from _settings import model_config

import rondel
from rondel.cells import build_cell, cells, numpy_namespace
from rondel.cells.base import Cell, LayerParameters
from rondel.data.facts import TextFacts
from rondel.models.language_model_module import LanguageModel
from rondel.nn.layers import (
    TORCH_LAYERS,
    RecurrentLayer,
    SteppedLayer,
    TorchLayer,
    recurrent_layer,
)
from rondel.nn.stack import RecurrentStack
from rondel.settings import Settings
from rondel.training.resolve import resolve

T, B, E, H = 12, 3, 7, 10


CELLS = [build_cell(model_config(cell=name, nonlinearity=f)) for name, f in variants()]
every_cell = pytest.mark.parametrize("cell", CELLS, ids=map("-".join, variants()))
every_torch_cell = pytest.mark.parametrize(
    "cell", [cell for cell in CELLS if type(cell) in TORCH_LAYERS], ids=repr
)


def inputs(cell: Cell, layers: int | None = None) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """A sequence, and a state that is not zero, as within a text."""
    generator = torch.Generator().manual_seed(3)
    x_TBE = torch.randn(T, B, E, generator=generator)
    shape = (B, H) if layers is None else (layers, B, H)
    return x_TBE, tuple(torch.rand(shape, generator=generator) - 0.5 for _ in cell.states)


def twins(cell: Cell) -> tuple[TorchLayer, SteppedLayer]:
    """Both layers of a cell, with the same parameters."""
    torch.manual_seed(5)
    fast, stepped = TorchLayer(cell, E, H), SteppedLayer(cell, E, H)
    theirs = fast.parameters_by_name()
    with torch.no_grad():
        for name, parameter in stepped.parameters_by_name().items():
            assert parameter.shape == theirs[name].shape
            parameter.copy_(theirs[name])
    return fast, stepped


def assert_close(left: Any, right: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(
        torch.as_tensor(left).detach(), torch.as_tensor(right).detach(), rtol=0, atol=tolerance
    )


@every_torch_cell
def test_torch_layer_stepped_layer_and_numpy_agree(cell: Cell) -> None:
    fast, stepped = twins(cell)
    x_TBE, state = inputs(cell)
    arrays = LayerParameters(*(p.detach().numpy() for p in fast.parameters_by_name().values()))
    numpy_outputs, numpy_last = cell.sequence(
        numpy_namespace, arrays, x_TBE.numpy(), tuple(part.numpy() for part in state)
    )
    for layer in (fast, stepped):
        outputs_TBH, last = layer(x_TBE, state)
        assert outputs_TBH.shape == (T, B, H)
        assert_close(outputs_TBH, np.stack(numpy_outputs))
        assert len(last) == len(cell.states)
        for part, expected in zip(last, numpy_last, strict=True):
            assert_close(part, expected)


@every_torch_cell
def test_both_layers_have_the_same_gradients(cell: Cell) -> None:
    results = []
    for layer in twins(cell):
        x_TBE, state = inputs(cell)
        leaves = [x_TBE, *state, *layer.parameters_by_name().values()]
        for leaf in leaves:
            leaf.requires_grad_()
        outputs_TBH, last = layer(x_TBE, state)
        weights = torch.linspace(-1, 1, outputs_TBH.numel()).view_as(outputs_TBH)
        loss = (outputs_TBH * weights).sum() + sum((part**2).sum() for part in last)
        results.append(torch.autograd.grad(loss, leaves))
    for fast, stepped in zip(*results, strict=True):
        assert fast.abs().max() > 1e-3
        np.testing.assert_allclose(fast, stepped, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("build", [recurrent_layer, SteppedLayer])
@every_cell
def test_three_chunks_equal_one_pass_of_a_layer(cell: Cell, build: Any) -> None:
    layer: RecurrentLayer = build(cell, E, H)
    x_TBE, state = inputs(cell)
    whole_TBH, last = layer(x_TBE, state)
    parts = []
    for third in x_TBE.split(T // 3):
        outputs, state = layer(third, state)
        parts.append(outputs)
    assert_close(torch.cat(parts), whole_TBH, 1e-6)
    for part, expected in zip(state, last, strict=True):
        assert_close(part, expected, 1e-6)


@pytest.mark.parametrize("layers", [1, 3])
@every_cell
def test_three_chunks_and_single_steps_equal_one_pass_of_a_stack(cell: Cell, layers: int) -> None:
    stack = RecurrentStack(cell, E, H, layers)
    x_TBE, begin = inputs(cell, layers)
    whole_TBH, last = stack(x_TBE, begin)
    for size in (T // 3, 1):
        state, parts = begin, []
        for chunk in x_TBE.split(size):
            outputs, state = stack(chunk, state)
            parts.append(outputs)
        assert_close(torch.cat(parts), whole_TBH, 1e-6)
        for part, expected in zip(state, last, strict=True):
            assert part.shape == (layers, B, H)
            assert_close(part, expected, 1e-6)


@every_torch_cell
def test_a_stack_equals_torchs_multi_layer_module(cell: Cell) -> None:
    """Its arrays, under the same names, load into torch.nn's module, which then agrees with it."""
    stack = RecurrentStack(cell, E, H, 2)
    options = {"nonlinearity": cell.nonlinearity} if hasattr(cell, "nonlinearity") else {}
    module = getattr(torch.nn, type(cell).__name__)(E, H, 2, **options)
    module.load_state_dict(stack.named_arrays())
    x_TBE, state = inputs(cell, 2)
    outputs, last = stack(x_TBE, state)
    expected, expected_last = module(x_TBE, state if len(state) > 1 else state[0])
    assert_close(outputs, expected)
    theirs = expected_last if len(state) > 1 else (expected_last,)
    for part, expected_part in zip(last, theirs, strict=True):
        assert_close(part, expected_part)


@pytest.mark.parametrize("build", [recurrent_layer, SteppedLayer])
@every_cell
def test_parameters_start_within_the_bound_and_biases_as_chosen(cell: Cell, build: Any) -> None:
    if hasattr(cell, "forget_bias"):
        cell = dataclasses.replace(cell, forget_bias=1.5)  # type: ignore[type-var]
    layer = build(cell, E, H)
    parameters = {name: p.detach() for name, p in layer.parameters_by_name().items()}
    chosen = cell.initial_bias()
    for gate in cell.gates:
        rows = cell.gate_rows(gate, H)
        bias_ih, bias_hh = parameters["bias_ih"][rows], parameters["bias_hh"][rows]
        if gate in chosen:
            assert bias_ih.tolist() == [chosen[gate]] * H
            assert bias_hh.tolist() == [0.0] * H
        else:
            assert len({*bias_ih.tolist(), *bias_hh.tolist()}) == 2 * H
            assert torch.cat([bias_ih, bias_hh]).abs().max() <= H**-0.5
    for name in ("weight_ih", "weight_hh"):
        assert 0.8 * H**-0.5 < parameters[name].abs().max() <= H**-0.5


@pytest.mark.parametrize(
    ("settings", "bias"),
    [
        ({"level": "word"}, 1.0),
        ({"level": "char"}, 0.0),
        ({"level": "byte"}, 0.0),
        ({"level": "char", "forget_bias": 1.0}, 1.0),
    ],
)
def test_the_forget_bias_of_an_lstm_starts_as_chosen(settings: dict[str, Any], bias: float) -> None:
    shape = {"hidden_size": H, "embedding_size": E, "num_layers": 2, "dropout": 0.0}
    config = resolve(
        Settings({**shape, **settings, "embedding_dropout": 0.0}), TextFacts(5, 10**6)
    ).model
    arrays = LanguageModel(config).named_arrays()
    for layer in range(2):
        assert arrays[f"core.bias_ih_l{layer}"][H : 2 * H].tolist() == [bias] * H
        assert arrays[f"core.bias_hh_l{layer}"][H : 2 * H].tolist() == [0.0] * H


@pytest.mark.parametrize("name", cells)
def test_a_cell_trains_resumes_loads_and_samples(name: str, tmp_path: Path, coffee: str) -> None:
    settings: dict[str, Any] = {
        "cell": name,
        "num_layers": 2,
        "hidden_size": 24,
        "embedding_size": 12,
        "batch_size": 4,
        "seq_length": 16,
        "learning_rate": 0.02,
        "eval_every": 60,
        "threads": 1,
    }
    coffee = coffee[:6000]
    begun = rondel.train(text=coffee, steps=1, quiet=True, **settings)
    model = rondel.train(text=coffee, steps=60, quiet=True, out=tmp_path / "run", **settings)
    assert model.progress["val_loss"] < begun.progress["val_loss"] - 0.5

    core = LanguageModel(model.config)
    of_torch = type(core.core.cell) in TORCH_LAYERS
    assert all(isinstance(layer, TorchLayer) == of_torch for layer in core.core.layers)
    core.load(model.weights)
    ids = torch.from_numpy(model.tokenizer.encode(coffee[:40]).astype(np.int64))[:, None]
    with torch.no_grad():
        expected_TBV, _ = core(ids, core.initial_state(1))
    model.save(tmp_path / "saved")
    loaded = rondel.load(tmp_path / "saved")
    assert loaded.config.cell == name
    np.testing.assert_allclose(logits_of(loaded, coffee[:40]), expected_TBV[:, 0], atol=1e-5)

    text = loaded.sample("The ", length=60, seed=3)
    assert len(text) == 64
    assert text == rondel.load(tmp_path / "run" / "best").sample("The ", length=60, seed=3)
    rondel.resume(tmp_path / "run", steps=80, quiet=True)
    assert rondel.load(tmp_path / "run").progress["step"] == 80


@every_cell
def test_a_cell_runs_in_half_precision(cell: Cell) -> None:
    layer = SteppedLayer(cell, E, H)
    x_TBE, state = inputs(cell)
    exact, _ = layer(x_TBE, state)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = layer(x_TBE, state)
        outputs.float().sum().backward()
    assert 0 < (outputs - exact).abs().max() < 0.02
    assert all(parameter.grad.abs().max() > 0 for parameter in layer.parameters())
