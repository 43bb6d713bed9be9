"""The one place that draws from a distribution."""

from __future__ import annotations

import numpy as np
import pytest

from rondel.generation.sampling.sampler import draw, stream_rng

INF = np.inf


class Highest(np.random.Generator):
    def random(self):
        return 1 - 2**-53


class Lowest(np.random.Generator):
    def random(self):
        return 0.0


@pytest.mark.parametrize("seed", range(20))
def test_a_forbidden_token_is_never_drawn(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 30, 101)
    logits[rng.integers(0, 101, 40)] = -INF
    logits[[0, -1]] = -INF
    draws = [draw(logits, extreme(np.random.PCG64())) for extreme in (Highest, Lowest)]
    draws += [draw(logits, rng) for _ in range(50)]
    assert np.isfinite(logits[draws]).all()


def test_a_draw_is_the_inverse_of_the_cumulative_distribution():
    logits = np.log([0.1, 0.2, 0.0 + 1e-300, 0.7])
    expected = [int(np.searchsorted([0.1, 0.3, 0.3, 1.0], u)) for u in stream_rng(3).random(200)]
    rng = stream_rng(3)
    assert [draw(logits, rng) for _ in range(200)] == expected


def test_a_draw_from_few_tokens_is_that_from_all():
    """Where most tokens are forbidden, only the others are looked at."""
    logits = np.full(300, -INF)
    logits[7::5] = np.random.default_rng(8).normal(0, 2, 59)
    cumulative = np.exp(logits - logits.max()).cumsum()
    wanted = stream_rng(4).random(200) * cumulative[-1]
    rng = stream_rng(4)
    found = [draw(logits, rng) for _ in range(200)]
    assert found == cumulative.searchsorted(wanted, side="right").tolist()
