"""Surprisal, entropy and rank of predictions, from logits.

Shapes: T time, B batch, V vocabulary, K measured values.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from rondel.engine.probability import Ids, Logits, gather, nll, require_finite

Measured = npt.NDArray[np.float64]


class Measure(Protocol):
    """Computes K values (K, T, B) from logits (T, B, V) and targets (T, B)."""

    width: ClassVar[int]
    """K."""

    def __call__(self, logits_TBV: Logits, targets_TB: Ids) -> Measured:
        """The values (K, T, B); raises `ModelFolderError` if the logits are not finite."""


class Surprisal:
    """-ln p of the target, in nats."""

    width: ClassVar[int] = 1

    def __call__(self, logits_TBV: Logits, targets_TB: Ids) -> Measured:
        """See `Measure`."""
        with np.errstate(invalid="ignore"):
            return require_finite(nll(logits_TBV, targets_TB))[None]


class Prediction:
    """Surprisal and entropy in nats, the target's rank, and the surprisal of a word's end.

    The likeliest token has rank 1; ties share the best rank. The surprisal of a word's end is -ln
    of the probability that the next token is one of those that imply a space before them
    (`implies_space_V`); 0 if the vocabulary has none.
    """

    width: ClassVar[int] = 4

    def __init__(self, implies_space_V: npt.NDArray[np.bool_]) -> None:
        self._spaced_V = implies_space_V.astype(np.float32) if implies_space_V.any() else None

    def __call__(self, logits_TBV: Logits, targets_TB: Ids) -> Measured:
        """See `Measure`."""
        with np.errstate(invalid="ignore"):
            shifted = logits_TBV - logits_TBV.max(axis=-1, keepdims=True)
            weights = np.exp(shifted)
            totals = weights.sum(axis=-1, dtype=np.float64)
            target = gather(shifted, targets_TB)
            nats = require_finite(np.log(totals) - target)
            expected = np.einsum("...v,...v->...", weights, shifted, dtype=np.float64)
        entropy = np.log(totals) - expected / totals
        rank = 1 + (shifted > target[..., None]).sum(axis=-1)
        if self._spaced_V is None:
            word_end = np.zeros_like(nats)
        else:
            mass = np.maximum(weights @ self._spaced_V, np.finfo(np.float32).tiny)
            word_end = np.log(totals) - np.log(mass.astype(np.float64))
        return np.stack([nats, np.maximum(entropy, 0.0), rank, np.maximum(word_end, 0.0)])
