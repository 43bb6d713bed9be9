"""The continuous cache, against the formula written out."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rondel
from rondel.errors import InputError
from rondel.evaluation.cache import CHUNK, Cache, cached_surprisals
from rondel.evaluation.token_blocks import TokenBlocks


def by_the_formula(model: rondel.Model, ids: np.ndarray, cache: Cache) -> list[float]:
    """-ln p of every token but the first, computed token by token."""
    state, remembered, nats = model._engine.initial_state(), [], []
    for token, target in itertools.pairwise(ids):
        logits, state = model._engine.step(np.array([token]), state)
        p = np.exp(logits[0].astype(float)) / np.exp(logits[0].astype(float)).sum()
        h = state[0][-1, 0].astype(float)
        if remembered:
            strengths = [math.exp(cache.theta * float(h @ past)) for past, _ in remembered]
            share = np.zeros_like(p)
            for strength, (_, followed) in zip(strengths, remembered, strict=True):
                share[followed] += strength / sum(strengths)
            p = (1 - cache.weight) * p + cache.weight * share
        nats.append(-math.log(p[target]))
        remembered = [*remembered, (h, target)][-cache.window :]
    return nats


@pytest.mark.parametrize(
    "cache", [Cache(window=500, theta=0.5, weight=0.2), Cache(window=7, theta=0.0, weight=0.5)]
)
def test_surprisals_agree_with_the_formula(trained: Path, prose: str, cache: Cache) -> None:
    model = rondel.load(trained)
    ids = model.tokenizer.encode(prose[: 2 * CHUNK + 9])
    blocks = TokenBlocks.of(model.tokenizer, ids)
    ((_, found),) = cached_surprisals(model._engine, blocks, cache)
    np.testing.assert_allclose(found, by_the_formula(model, ids, cache), rtol=1e-5)


def test_zero_weight_gives_the_surprisals_of_the_model_alone(trained: Path, coffee: str) -> None:
    model, text = rondel.load(trained), coffee[:500]
    alone, cached = model.evaluate(text), model.evaluate(text, cache=Cache(weight=0))
    assert cached.nats == pytest.approx(alone.nats, rel=1e-5)
    assert (cached.tokens, cached.words) == (alone.tokens, alone.words)


def test_repeated_text_becomes_more_likely(trained: Path) -> None:
    model, text = rondel.load(trained), "Xylophones zigzag quietly. " * 12
    cached = model.evaluate(text, cache=Cache(weight=0.3))
    assert cached.nats_per_token < model.evaluate(text).nats_per_token - 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "at least 1 token, not 0"),
        ({"theta": -1}, "theta must be 0 or more, not -1"),
        ({"weight": 1.0}, "from 0 to below 1, not 1.0"),
        ({"weight": math.nan}, "weight must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cache(**settings)
