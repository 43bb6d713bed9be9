"""Probabilities from logits: single and batched distributions, overflow, non-finite logits."""

from __future__ import annotations

import numpy as np
import pytest

from rondel.engine.probability import (
    argmax,
    gather,
    largest,
    log_softmax,
    log_sum_exp,
    nll,
    require_finite,
    softmax,
)
from rondel.errors import ModelFolderError

INF = np.inf


def test_softmax_is_stable_and_right():
    np.testing.assert_allclose(softmax(np.log([0.2, 0.3, 0.5]) + 1e4), [0.2, 0.3, 0.5], rtol=1e-10)
    assert softmax(np.array([0.0, -INF, -1e5])).tolist() == [1.0, 0.0, 0.0]
    assert log_softmax(np.array([0.0, -INF, 0.0])).tolist() == [-np.log(2), -INF, -np.log(2)]


def test_batched_distributions_equal_single_ones_bit_for_bit():
    rng = np.random.default_rng(1)
    logits_TBV = rng.normal(0, 5, (3, 4, 129)).astype(np.float32)
    targets_TB = rng.integers(0, 129, (3, 4))
    for t, b in np.ndindex(3, 4):
        alone, target = logits_TBV[t, b], targets_TB[t, b]
        assert (softmax(logits_TBV)[t, b] == softmax(alone)).all()
        assert (log_softmax(logits_TBV)[t, b] == log_softmax(alone)).all()
        assert nll(logits_TBV, targets_TB)[t, b] == nll(alone, target)
    assert softmax(logits_TBV).dtype == np.float32
    expected = -gather(log_softmax(logits_TBV), targets_TB)
    np.testing.assert_allclose(nll(logits_TBV, targets_TB), expected, rtol=1e-5)
    np.testing.assert_allclose(log_sum_exp(log_softmax(logits_TBV)), 0, atol=1e-12)


def test_ties_go_to_the_lowest_id():
    assert argmax(np.array([1.0, 3.0, 3.0])) == 1
    assert largest(np.array([1.0, 3.0, 2.0, 3.0, 2.0]), 3).tolist() == [1, 3, 2]
    assert largest(np.array([-INF, 3.0, -INF]), 2).tolist() == [1]


@pytest.mark.parametrize("logits", [[np.nan, 1.0], [1.0, np.inf], [-INF, -INF]])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_non_finite_logits_are_refused(function, logits):
    for given in (np.array(logits), np.array([[0.0, 1.0], logits])):
        with pytest.raises(ModelFolderError, match="not a finite number"):
            function(given)


@pytest.mark.parametrize("logits", [[np.nan, 1.0], [1.0, np.inf], [-INF, -INF]])
def test_argmax_refuses_non_finite_logits(logits):
    with pytest.raises(ModelFolderError, match="not a finite number"):
        argmax(np.array(logits))
    with pytest.raises(ModelFolderError, match="not a finite number"):
        require_finite(np.array(logits))
