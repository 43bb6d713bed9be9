"""Probabilities of tokens from logits, and the check for numbers that are not finite.

All functions work over the last axis: a single distribution (V,) or any number of them (..., V).
A logit of -inf is a token of probability 0. V is the vocabulary.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rondel.errors import ModelFolderError

Logits = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer[Any]]
Precision = TypeVar("Precision", bound=np.floating[Any])

NOT_FINITE = (
    "the model's output is not a finite number: its weights are damaged or its training "
    "diverged; use another model folder, such as RUN/best"
)


def require_finite(values: npt.NDArray[Precision]) -> npt.NDArray[Precision]:
    """Return the values; raises `ModelFolderError` if one of them is infinite or NaN."""
    if not np.isfinite(values).all():
        raise ModelFolderError(NOT_FINITE)
    return values


def largest_logit(logits: npt.NDArray[Precision]) -> npt.NDArray[Precision]:
    """Return the largest logit (..., 1).

    Raises `ModelFolderError` if it is not finite: all logits are -inf, or one is +inf or NaN.
    """
    largest: npt.NDArray[Precision] = logits.max(axis=-1, keepdims=True)
    return require_finite(largest)


def unnormalized(logits: npt.NDArray[Precision]) -> npt.NDArray[Precision]:
    """Return exp(logits) scaled so that the largest is 1: unnormalised probabilities (..., V).

    In the precision of the logits. Raises as `largest_logit` does.
    """
    weights = logits - largest_logit(logits)
    result: npt.NDArray[Precision] = np.exp(weights, out=weights)
    return result


def softmax(logits: npt.NDArray[Precision]) -> npt.NDArray[Precision]:
    """Return probabilities (..., V) in the logits' precision. Raises as `largest_logit` does."""
    weights = unnormalized(logits)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def log_softmax(logits: Logits) -> Doubles:
    """Return log-probabilities (..., V) in nats, in double precision; -inf where the logit is.

    Raises as `largest_logit` does.
    """
    shifted = logits.astype(np.float64)
    shifted -= largest_logit(shifted)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def nll(logits: Logits, targets: Ids) -> Doubles:
    """Return -ln softmax(logits)[target] in nats (...), for logits (..., V) and targets (...).

    Logits are not checked: where they are not finite, the result is not.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    totals = np.exp(shifted).sum(axis=-1, dtype=np.float64)
    result: Doubles = np.log(totals) - gather(shifted, targets).astype(np.float64)
    return result


def log_sum_exp(values: Doubles) -> Doubles:
    """Return ln of the sum of exp(values) over the last axis."""
    highest = values.max(axis=-1, keepdims=True)
    total: Doubles = highest[..., 0] + np.log(np.exp(values - highest).sum(axis=-1))
    return total


def gather(values: npt.NDArray[Precision], tokens: Ids) -> npt.NDArray[Precision]:
    """Return the values (...) of `tokens` (...), from values (..., V)."""
    result: npt.NDArray[Precision] = np.take_along_axis(values, tokens[..., None], axis=-1)[..., 0]
    return result


def argmax(logits: Logits) -> int:
    """Return the likeliest token of logits (V,), the lowest id among equals.

    Raises as `largest_logit` does.
    """
    largest_logit(logits)
    return int(logits.argmax())


def largest(values: Doubles, count: int) -> npt.NDArray[np.intp]:
    """Return the indices of the `count` largest values (N,), largest first, then by index.

    Values of -inf are left out.
    """
    threshold = -np.inf
    if count < len(values):
        threshold = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero((values >= threshold) & (values > -np.inf))
    return candidates[np.argsort(-values[candidates], kind="stable")[:count]]
