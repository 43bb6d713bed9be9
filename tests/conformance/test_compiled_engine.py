"""The compiled engine, for every cell that has a kernel: against NumPy, and bit for bit itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from _models import random_model, some_state
from _runs import with_kernel

from rondel.engine import NumpyEngine, StackConfig, build_engine, build_stack, compiled_engine
from rondel.engine.compiled_engine import CompiledEngine
from rondel.engine.head import Head
from rondel.errors import InputError
from rondel.kernels.threads.autotuner import ALONE, Autotuner, Split

STEPS, BATCH = 9, 7
# Sizes that do and do not fill groups of 16 units and panels of 16 tokens; inputs of each kind.
SHAPES: list[dict[str, Any]] = [
    {"layers": 1, "hidden": 16, "vocab": 11},
    {"layers": 2, "hidden": 37, "vocab": 70, "embedding": 7},
    {"layers": 3, "hidden": 20, "vocab": 33, "embedding": 20, "tied": True},
    {"layers": 2, "hidden": 33, "vocab": 40, "embedding": 19, "large": True},
]
SPLITS = [ALONE, Split(1, 2), Split(2, 1)]


@pytest.fixture(params=with_kernel(), ids="-".join)
def variant(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=["one-hot", "embedding", "tied", "large vocabulary"])
def model(request, variant, monkeypatch):
    shape = dict(request.param)
    if shape.pop("large", False):
        # As if the table of all tokens' input gates were too large.
        monkeypatch.setattr(compiled_engine, "LARGEST_TABLE", 1)
    return random_model(*variant, **shape)


@pytest.fixture(params=["fp32", "int8"])
def engine(request, model):
    config, weights = model
    built = build_engine(config, weights, request.param)
    assert isinstance(built, CompiledEngine)
    return built


@pytest.fixture
def tokens_TB(model):
    return np.random.default_rng(1).integers(0, model[0].vocab_size, (STEPS, BATCH))


@pytest.fixture
def state(model):
    return some_state(*model, BATCH)


def assert_close(left, right, atol=1e-5):
    np.testing.assert_allclose(left, right, rtol=0, atol=atol)
    assert left.dtype == right.dtype == np.float32


def assert_same(left, right):
    """To the bit, arrays or tuples of them."""
    if isinstance(left, tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(left, right)


def test_it_equals_the_numpy_engine(model, tokens_TB, state):
    engine, generic = build_engine(*model), NumpyEngine(*model)
    logits, last = engine.sequence(tokens_TB, state)
    expected, expected_last = generic.sequence(tokens_TB, state)
    assert_close(logits, expected)
    for one, other in zip(last, expected_last, strict=True):
        assert_close(one, other)
    assert_close(engine.outputs(tokens_TB, state)[0], generic.outputs(tokens_TB, state)[0])
    assert_close(engine.step(tokens_TB[0], state)[0], expected[0])
    assert_same(engine.advance(tokens_TB, state), last)


def test_a_stack_under_any_prefix_has_the_engines_bits(model, tokens_TB, state):
    config, weights = model
    engine = build_engine(config, weights)
    renamed = {name.replace("core.", "encoder."): array for name, array in weights.items()}
    expected_LTBH, expected = engine.layer_outputs(tokens_TB, state)
    assert_same(engine.outputs(tokens_TB, state)[0], expected_LTBH[-1])
    for count in range(1, config.num_layers + 1):
        shape = dataclasses.replace(StackConfig.of(config), num_layers=count)
        stack, lower = build_stack(shape, renamed, "encoder."), tuple(p[:count] for p in state)
        outputs_LTBH, last = stack.layer_outputs(tokens_TB, lower)
        assert_same(outputs_LTBH, expected_LTBH[:count])
        assert_same(stack.outputs(tokens_TB, lower)[0], expected_LTBH[count - 1])
        assert_same(last, tuple(part[:count] for part in expected))
        assert_same(stack.advance(tokens_TB, lower), last)


def test_its_bits_are_the_same_in_any_chunking(engine, tokens_TB, state):
    logits_TBV, last = engine.sequence(tokens_TB, state)
    stepped = state
    for t, tokens_B in enumerate(tokens_TB):
        logits_BV, stepped = engine.step(tokens_B, stepped)
        assert_same(logits_BV, logits_TBV[t])
    assert_same(stepped, last)
    for third_TB, expected in zip(np.split(tokens_TB, 3), np.split(logits_TBV, 3), strict=True):
        logits, state = engine.sequence(third_TB, state)
        assert_same(logits, expected)


def test_its_bits_are_the_same_alone_and_in_a_batch(engine, tokens_TB, state):
    logits_TBV, last = engine.sequence(tokens_TB, state)
    for b in range(BATCH):
        one = slice(b, b + 1)
        logits, end = engine.sequence(tokens_TB[:, one], tuple(part[:, one] for part in state))
        assert_same(logits, logits_TBV[:, one])
        assert_same(end, tuple(part[:, one] for part in last))


@pytest.mark.parametrize("split", SPLITS[1:], ids=["workers", "blocks"])
def test_its_bits_are_the_same_on_two_threads(engine, tokens_TB, state, split, monkeypatch):
    expected = engine.sequence(tokens_TB, state)
    monkeypatch.setattr(Autotuner, "choose", lambda self, kind, splits, steps: (split, steps))
    assert_same(engine.sequence(tokens_TB, state), expected)


def test_calls_change_neither_their_input_nor_earlier_results(engine, tokens_TB, state):
    before = tuple(part.copy() for part in state)
    logits, after = engine.step(tokens_TB[0], state)
    kept = logits.copy(), tuple(part.copy() for part in after)
    engine.step(tokens_TB[1], after)
    engine.sequence(tokens_TB, after)
    assert_same((logits, *after, *state), (kept[0], *kept[1], *before))


def test_int8_rounds_the_weights_row_by_row(model, tokens_TB, state):
    config, weights = model
    # The first layer's input stays exact; a tied embedding is rounded only in the head.
    exact = {"core.weight_ih_l0", "embedding.weight"}
    rounded = {}
    for name, array in weights.items():
        scale = np.abs(array).max(axis=-1, keepdims=True) / np.float32(127)
        keep = array.ndim == 1 or name in exact
        rounded[name] = array if keep else (np.rint(array / scale) * scale).astype(np.float32)
    generic = NumpyEngine(config, rounded)
    if config.tie_weights:
        head = weights["embedding.weight"]
        scale = np.abs(head).max(axis=1, keepdims=True) / np.float32(127)
        generic.head = Head((np.rint(head / scale) * scale).astype(np.float32), generic.head.bias_V)
    expected = generic.sequence(tokens_TB, state)[0]
    logits = build_engine(config, weights, "int8").sequence(tokens_TB, state)[0]
    # The rest of the difference is from activations in 16 bits.
    assert_close(logits, expected, atol=1e-3)
    assert np.abs(logits - NumpyEngine(config, weights).sequence(tokens_TB, state)[0]).max() > 1e-3


def test_an_empty_sequence_leaves_the_state(engine, state):
    none = np.zeros((0, BATCH), np.int64)
    logits, after = engine.sequence(none, state)
    assert logits.shape == (0, BATCH, engine.config.vocab_size)
    assert_same(after, state)


def refusal(engine, tokens, state, ask):
    with pytest.raises(InputError) as caught:
        getattr(engine, ask)(tokens, state)
    return str(caught.value)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ([-1, 0, 0], "the vocabulary has tokens 0 to 10, and no -1"),
        ([0, 11, 0], "and no 11"),
        ([0.0, 1.0, 2.0], "whole numbers, not one of shape"),
        ([True, False, True], "type bool"),
        ("abc", "type <U3"),
        (None, "type object"),
        ([[[0, 1, 2]]], "not one of shape"),
        (1, "not one of shape"),
    ],
)
def test_every_engine_refuses_invalid_tokens_alike(row, complaint):
    config, weights = random_model("lstm", layers=2)
    engines = NumpyEngine(config, weights), CompiledEngine(StackConfig.of(config), weights)
    state = engines[0].initial_state(3)
    for ask in ("step", "sequence", "advance", "outputs", "layer_outputs"):
        given = np.array(row if ask == "step" else [row])
        by_numpy, by_kernels = (refusal(engine, given, state, ask) for engine in engines)
        assert by_numpy == by_kernels
        assert complaint in by_numpy


def test_every_engine_refuses_a_state_of_another_shape_alike():
    config, weights = random_model("lstm", layers=2)
    engines = NumpyEngine(config, weights), CompiledEngine(StackConfig.of(config), weights)
    good = engines[0].initial_state(BATCH)
    for state in (None, (), good[:1], good + good[:1], engines[0].initial_state(1), (1, 2)):
        for ask in ("step", "sequence", "advance", "outputs", "layer_outputs"):
            tokens = np.zeros(BATCH if ask == "step" else (4, BATCH), np.int64)
            by_numpy, by_kernels = (refusal(engine, tokens, state, ask) for engine in engines)
            assert by_numpy == by_kernels
            assert f"has arrays of shapes {[(2, BATCH, 16)] * 2}, not" in by_numpy
