"""Distributions over tokens, as logits (V,): normalised, ranked, and the largest found.

A logit of -inf is a token that cannot come. Where tokens are equal, that of the lowest id is first.
All but `largest` raise `ModelFolderError` if no logit is finite, or one is not a number.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rondel.errors import ModelFolderError

Logits = npt.NDArray[np.float64]


def top(logits: Logits) -> float:
    """The largest logit. Raises `ModelFolderError` if it is not a finite number."""
    # Not-a-number is the largest wherever there is one.
    largest_logit = float(logits.max())
    if not math.isfinite(largest_logit):
        raise ModelFolderError(
            "the model's output is not a finite number: its weights are damaged or its training "
            "diverged; use another model folder, such as RUN/best"
        )
    return largest_logit


def weights_of(logits: Logits) -> npt.NDArray[np.float64]:
    """exp(logits), scaled so that the largest is 1: probabilities, but for their sum."""
    weights: npt.NDArray[np.float64] = np.exp(logits - top(logits))
    return weights


def softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """Probabilities (V,), which sum to 1."""
    weights = weights_of(logits)
    weights /= weights.sum()
    return weights


def log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """Log-probabilities (V,) in nats, -inf where the logit is."""
    shifted: npt.NDArray[np.float64] = logits - top(logits)
    shifted -= np.log(np.exp(shifted).sum())
    return shifted


def argmax(logits: Logits) -> int:
    """The likeliest token."""
    top(logits)
    return int(logits.argmax())


def largest(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.intp]:
    """Where the `count` largest of values (N,) stand, best first; those of -inf are left out."""
    threshold = -np.inf
    if count < len(values):
        threshold = np.partition(values, len(values) - count)[len(values) - count]
    candidates = np.flatnonzero((values >= threshold) & (values > -np.inf))
    return candidates[np.argsort(-values[candidates], kind="stable")[:count]]
