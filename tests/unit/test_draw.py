"""Distributions, and the one place that draws from them."""

from __future__ import annotations

import numpy as np
import pytest

from rondel.errors import ModelFolderError
from rondel.generation.distributions import argmax, largest, log_softmax, softmax
from rondel.generation.draw import draw, stream_rng

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


def test_softmax_is_stable_and_right():
    np.testing.assert_allclose(softmax(np.log([0.2, 0.3, 0.5]) + 1e4), [0.2, 0.3, 0.5], rtol=1e-10)
    assert softmax(np.array([0.0, -INF, -1e5])).tolist() == [1.0, 0.0, 0.0]
    assert log_softmax(np.array([0.0, -INF, 0.0])).tolist() == [-np.log(2), -INF, -np.log(2)]


def test_ties_go_to_the_lowest_id():
    assert argmax(np.array([1.0, 3.0, 3.0])) == 1
    assert largest(np.array([1.0, 3.0, 2.0, 3.0, 2.0]), 3).tolist() == [1, 3, 2]
    assert largest(np.array([-INF, 3.0, -INF]), 2).tolist() == [1]


@pytest.mark.parametrize("logits", [[np.nan, 1.0], [1.0, np.inf], [-INF, -INF]])
@pytest.mark.parametrize("function", [softmax, log_softmax, argmax])
def test_logits_that_are_no_distribution_are_refused(function, logits):
    with pytest.raises(ModelFolderError, match="not a finite number"):
        function(np.array(logits))
