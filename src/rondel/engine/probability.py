"""Probabilities of tokens from logits, and the one check for numbers that are not finite.

All functions work over the last axis: a single distribution (V,) or any number of them (..., V).
A logit of -inf is a token that cannot come. V is the vocabulary.
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
    """Return the values; raise `ModelFolderError` if one of them is infinite or not a number."""
    if not np.isfinite(values).all():
        raise ModelFolderError(NOT_FINITE)
    return values


def largest_logit(logits: npt.NDArray[Precision]) -> npt.NDArray[Precision]:
    """The largest logit (..., 1).

    Raises `ModelFolderError` if it is not finite: no logit is, or one is +inf or not a number.
    """
    largest: npt.NDArray[Precision] = logits.max(axis=-1, keepdims=True)
    return require_finite(largest)


def unnormalized(logits: npt.NDArray[Precision]) -> npt.NDArray[Precision]:
    """exp(logits), scaled so that the largest is 1: probabilities up to their sum.

    In the precision of the logits. Raises as `largest_logit` does.
    """
    weights = logits - largest_logit(logits)
    result: npt.NDArray[Precision] = np.exp(weights, out=weights)
    return result


def softmax(logits: npt.NDArray[Precision]) -> npt.NDArray[Precision]:
    """Probabilities (..., V) in the precision of the logits. Raises as `largest_logit` does."""
    weights = unnormalized(logits)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def log_softmax(logits: Logits) -> Doubles:
    """Log-probabilities (..., V) in nats, in double precision, -inf where the logit is.

    Raises as `largest_logit` does.
    """
    shifted = logits.astype(np.float64)
    shifted -= largest_logit(shifted)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def nll(logits: Logits, targets: Ids) -> Doubles:
    """-ln softmax(logits)[target] in nats (...), for logits (..., V) and targets (...).

    Not checked: it is not finite where the logits are not.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    totals = np.exp(shifted).sum(axis=-1, dtype=np.float64)
    result: Doubles = np.log(totals) - chosen(shifted, targets).astype(np.float64)
    return result


def log_sum_exp(values: Doubles) -> Doubles:
    """ln of the sum of exp(values) over the last axis."""
    highest = values.max(axis=-1, keepdims=True)
    total: Doubles = highest[..., 0] + np.log(np.exp(values - highest).sum(axis=-1))
    return total


def chosen(values: npt.NDArray[Precision], tokens: Ids) -> npt.NDArray[Precision]:
    """The values (...) of one token each, out of values (..., V)."""
    result: npt.NDArray[Precision] = np.take_along_axis(values, tokens[..., None], axis=-1)[..., 0]
    return result


def argmax(logits: Logits) -> int:
    """The likeliest token of logits (V,), the lowest id among equals.

    Raises as `largest_logit` does.
    """
    largest_logit(logits)
    return int(logits.argmax())


def largest(values: Doubles, count: int) -> npt.NDArray[np.intp]:
    """Indices of the `count` largest of values (N,), best first, the lowest index among equals.

    Those of -inf are left out.
    """
    threshold = -np.inf
    if count < len(values):
        threshold = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero((values >= threshold) & (values > -np.inf))
    return candidates[np.argsort(-values[candidates], kind="stable")[:count]]
