"""The NumPy engine of every registered cell: sequences against steps, and against PyTorch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from _models import random_model
from _runs import variants
from _settings import model_config

from rondel.cells import build_cell, cells, numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.engine import NumpyEngine, StackConfig, build_engine, build_stack, numpy_engine
from rondel.engine.kernel_lookup import has_kernel
from rondel.errors import InputError
from rondel.settings import ModelConfig

VOCAB, HIDDEN, EMBEDDING, STEPS, BATCH = 11, 12, 7, 12, 3
LAYOUTS = ["one-hot", "embedding", "tied", "large vocabulary"]
VARIANTS = list(variants())


def make_weights(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = len(cells[config.cell].gates) * HIDDEN

    def array(*shape: int) -> np.ndarray:
        return rng.uniform(-0.5, 0.5, shape).astype(np.float32)

    weights = {"head.bias": array(VOCAB)}
    if config.embedding_size:
        weights["embedding.weight"] = array(VOCAB, config.embedding_size)
    if not config.tie_weights:
        weights["head.weight"] = array(VOCAB, HIDDEN)
    for layer in range(config.num_layers):
        columns = HIDDEN if layer else (config.embedding_size or VOCAB)
        weights[f"core.weight_ih_l{layer}"] = array(rows, columns)
        weights[f"core.weight_hh_l{layer}"] = array(rows, HIDDEN)
        weights[f"core.bias_ih_l{layer}"] = array(rows)
        weights[f"core.bias_hh_l{layer}"] = array(rows)
    return weights


@pytest.fixture(params=LAYOUTS)
def layout(request, monkeypatch):
    if request.param == "large vocabulary":
        monkeypatch.setattr(numpy_engine, "LARGEST_TABLE", 1)
    return request.param


@pytest.fixture(params=VARIANTS, ids="-".join)
def variant(request):
    return request.param


@pytest.fixture(params=[1, 2, 3])
def config(request, layout, variant):
    sizes = {"one-hot": 0, "tied": HIDDEN}
    return model_config(
        cell=variant[0],
        nonlinearity=variant[1],
        num_layers=request.param,
        hidden_size=HIDDEN,
        embedding_size=sizes.get(layout, EMBEDDING),
        tie_weights=layout == "tied",
        vocab_size=VOCAB,
    )


@pytest.fixture
def weights(config):
    return make_weights(config)


@pytest.fixture
def engine(config, weights):
    return NumpyEngine(config, weights)


@pytest.fixture
def tokens_TB():
    return np.random.default_rng(1).integers(0, VOCAB, (STEPS, BATCH))


@pytest.fixture
def state(engine):
    """A state that is not zero, as within a text."""
    rng = np.random.default_rng(2)
    return tuple(
        rng.uniform(-0.9, 0.9, part.shape).astype(np.float32)
        for part in engine.initial_state(BATCH)
    )


def assert_same(left, right):
    """Compare up to the order of a BLAS's sums, which differs by processor and by shape."""
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=2e-6)
    assert left.dtype == right.dtype == np.float32


def assert_same_states(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert_same(one, other)


def test_a_sequence_equals_its_steps(engine, tokens_TB, state):
    logits_TBV, last = engine.sequence(tokens_TB, state)
    assert logits_TBV.shape == (STEPS, BATCH, VOCAB)
    for t, tokens_B in enumerate(tokens_TB):
        logits_BV, state = engine.step(tokens_B, state)
        assert_same(logits_BV, logits_TBV[t])
    assert_same_states(state, last)


def test_three_chunks_equal_one_pass(engine, tokens_TB, state):
    logits_TBV, last = engine.sequence(tokens_TB, state)
    parts = []
    for third_TB in np.split(tokens_TB, 3):
        logits, state = engine.sequence(third_TB, state)
        parts.append(logits)
    assert_same(np.concatenate(parts), logits_TBV)
    assert_same_states(state, last)


def test_advance_gives_the_state_of_sequence(engine, tokens_TB, state):
    assert_same_states(engine.advance(tokens_TB, state), engine.sequence(tokens_TB, state)[1])


def test_layer_outputs_equal_those_of_stacks_of_the_first_layers(
    engine, config, weights, tokens_TB, state
):
    outputs_LTBH, last = engine.layer_outputs(tokens_TB, state)
    np.testing.assert_array_equal(outputs_LTBH[-1], engine.outputs(tokens_TB, state)[0])
    for count in range(1, config.num_layers + 1):
        alone = NumpyEngine(dataclasses.replace(config, num_layers=count), weights)
        outputs_TBH, end = alone.outputs(tokens_TB, tuple(part[:count] for part in state))
        np.testing.assert_array_equal(outputs_LTBH[count - 1], outputs_TBH)
        for one, other in zip(end, last, strict=True):
            np.testing.assert_array_equal(one, other[:count])


def test_a_constant_input_is_joined_to_every_input(config, weights, tokens_TB, state):
    """A stack that reads z besides each token, against the cell's steps over both."""
    constant = 5
    rng = np.random.default_rng(3)
    z_BZ = rng.uniform(-1, 1, (BATCH, constant)).astype(np.float32)
    first = weights["core.weight_ih_l0"]
    joined = rng.uniform(-0.5, 0.5, (len(first), constant)).astype(np.float32)
    shape = dataclasses.replace(StackConfig.of(config), constant_size=constant)
    arrays = {**weights, "core.weight_ih_l0": np.concatenate([first, joined], axis=1)}
    stack = build_stack(shape, arrays, "core.")
    outputs_TBH, last = stack.outputs(tokens_TB, (*state, (z_BZ @ joined.T)[None]))
    assert_same(last[-1], (z_BZ @ joined.T)[None])
    table = weights.get("embedding.weight", np.eye(VOCAB, dtype=np.float32))
    layers = [LayerParameters.of(arrays, n, "core.") for n in range(config.num_layers)]
    states = [tuple(part[n] for part in state) for n in range(config.num_layers)]
    for tokens_B, outputs_BH in zip(tokens_TB, outputs_TBH, strict=True):
        x = np.concatenate([table[tokens_B], z_BZ], axis=1)
        for number, layer in enumerate(layers):
            states[number] = shape.cell.step(numpy_namespace, layer, x, states[number]).state
            x = states[number][0]
        assert_same(outputs_BH, x)


def test_a_batch_equals_its_streams(engine, tokens_TB, state):
    logits_TBV, last = engine.sequence(tokens_TB, state)
    step_BV, _ = engine.step(tokens_TB[0], state)
    for b in range(BATCH):
        one = slice(b, b + 1)
        begin = tuple(part[:, one] for part in state)
        logits, end = engine.sequence(tokens_TB[:, one], begin)
        assert_same(logits, logits_TBV[:, one])
        assert_same_states(end, tuple(part[:, one] for part in last))
        assert_same(engine.step(tokens_TB[0, one], begin)[0], step_BV[one])


def test_calls_change_neither_their_input_nor_earlier_results(engine, tokens_TB, state):
    before = tuple(part.copy() for part in state)
    logits, after = engine.step(tokens_TB[0], state)
    kept = logits.copy(), tuple(part.copy() for part in after)
    engine.step(tokens_TB[1], after)
    engine.sequence(tokens_TB, after)
    np.testing.assert_array_equal(logits, kept[0])
    for one, other in zip((*state, *after), (*before, *kept[1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_text_starts_from_zeros(engine, config):
    state = engine.initial_state(4)
    assert len(state) == len(cells[config.cell].states)
    for part in state:
        assert part.shape == (config.num_layers, 4, HIDDEN)
        assert part.dtype == np.float32
        assert not part.any()


@pytest.mark.parametrize(
    "variant",
    [variant for variant in VARIANTS if hasattr(torch.nn, variant[0].upper())],
    ids="-".join,
)
def test_logits_and_states_equal_torchs(engine, config, weights, tokens_TB, state):
    options = {"nonlinearity": config.own["nonlinearity"]} if config.cell == "rnn" else {}
    inputs = config.embedding_size or VOCAB
    core = getattr(torch.nn, config.cell.upper())(inputs, HIDDEN, config.num_layers, **options)
    arrays = {k[5:]: torch.from_numpy(v) for k, v in weights.items() if k.startswith("core.")}
    core.load_state_dict(arrays)
    table = weights.get("embedding.weight", np.eye(VOCAB, dtype=np.float32))
    head = weights["embedding.weight" if config.tie_weights else "head.weight"]
    parts = tuple(map(torch.from_numpy, state))
    with torch.no_grad():
        x_TBE = torch.from_numpy(table)[torch.from_numpy(tokens_TB)]
        outputs, last = core(x_TBE, parts if len(parts) > 1 else parts[0])
        expected = outputs @ torch.from_numpy(head).T + torch.from_numpy(weights["head.bias"])
    logits, engine_last = engine.sequence(tokens_TB, state)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-5)
    for one, other in zip(engine_last, last if len(parts) > 1 else (last,), strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


def test_every_torch_cell_is_compared():
    assert {name for name, _ in VARIANTS if hasattr(torch.nn, name.upper())} >= {
        "lstm",
        "gru",
        "rnn",
    }


@pytest.mark.parametrize("cell", cells)
def test_a_cell_without_a_kernel_runs_in_numpy_and_refuses_int8(cell):
    config, weights = random_model(cell)
    if has_kernel(build_cell(config)):
        assert not isinstance(build_engine(config, weights), NumpyEngine)
        return
    assert isinstance(build_engine(config, weights), NumpyEngine)
    with pytest.raises(InputError, match="--precision int8 needs compiled kernels"):
        build_engine(config, weights, "int8")
