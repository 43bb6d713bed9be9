"""What is measured of a prediction, from its logits.

Shapes: T time, B batch, V vocabulary, K what is measured.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from rondel.engine.probability import Ids, Logits, chosen, nll, require_finite

Measured = npt.NDArray[np.float64]


class Measure(Protocol):
    """Turns logits (T, B, V) and the tokens that came, targets (T, B), into numbers (K, T, B)."""

    width: ClassVar[int]
    """K."""

    def __call__(self, logits_TBV: Logits, targets_TB: Ids) -> Measured:
        """The numbers; `ModelFolderError` if the logits are not finite."""


class Surprisal:
    """-ln p of the token that came, in nats."""

    width: ClassVar[int] = 1

    def __call__(self, logits_TBV: Logits, targets_TB: Ids) -> Measured:
        """See `Measure`."""
        with np.errstate(invalid="ignore"):
            return require_finite(nll(logits_TBV, targets_TB))[None]


class Prediction:
    """Surprisal and entropy in nats, the rank of the token that came, and `gap`.

    The likeliest token has rank 1; of tokens as likely, all have the best rank. `gap` is -ln of the
    probability that the next token is one of `after_gap_V`, those that imply a space before them;
    0 if there are none.
    """

    width: ClassVar[int] = 4

    def __init__(self, after_gap_V: npt.NDArray[np.bool_]) -> None:
        self._after_gap_V = after_gap_V.astype(np.float32) if after_gap_V.any() else None

    def __call__(self, logits_TBV: Logits, targets_TB: Ids) -> Measured:
        """See `Measure`."""
        with np.errstate(invalid="ignore"):
            shifted = logits_TBV - logits_TBV.max(axis=-1, keepdims=True)
            weights = np.exp(shifted)
            totals = weights.sum(axis=-1, dtype=np.float64)
            came = chosen(shifted, targets_TB)
            nats = require_finite(np.log(totals) - came)
            expected = np.einsum("...v,...v->...", weights, shifted, dtype=np.float64)
        entropy = np.log(totals) - expected / totals
        rank = 1 + (shifted > came[..., None]).sum(axis=-1)
        if self._after_gap_V is None:
            gap = np.zeros_like(nats)
        else:
            mass = np.maximum(weights @ self._after_gap_V, np.finfo(np.float32).tiny)
            gap = np.log(totals) - np.log(mass.astype(np.float64))
        return np.stack([nats, np.maximum(entropy, 0.0), rank, np.maximum(gap, 0.0)])
