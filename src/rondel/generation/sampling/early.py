"""Draw a token before all logits are there, where those of the common tokens decide it.

An adaptive softmax gives the log-probabilities of its common tokens and of its clusters first. The
rest of a distribution at a temperature T is bounded by these: a cluster of n tokens that has the
probability p has p^(1/T) times a number between 1 and n^(1 - 1/T), the sum of q^(1/T) over any
distribution q of n tokens. If the draw falls on the same common token whatever that number is, it
is the token that would be drawn from all logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

ROUNDING = 1e-5
"""How far, relatively, sums in single precision may be from what they stand for."""

Floats = npt.NDArray[np.floating[Any]]


def drawn_early(
    common: Floats,
    clusters: Floats,
    sizes: npt.NDArray[np.int64],
    temperature: float,
    uniform: float,
) -> int | None:
    """Return the token that `uniform` draws, from the lowest id on; None if it is not decided.

    `common` are log-probabilities (C,), -inf for a token that must not be drawn; `clusters` those
    of the clusters (K,) of `sizes` tokens, whose ids come after the common ones.
    """
    logits = np.concatenate([common, clusters]).astype(np.float64)
    largest = logits.max()
    if not np.isfinite(largest):
        return None
    with np.errstate(over="ignore"):
        weights = np.exp((logits - largest) / temperature)
        others = np.minimum(sizes.astype(np.float64) ** (1 - 1 / temperature), np.finfo(float).max)
    cumulative = weights[: len(common)].cumsum()
    masses = weights[len(common) :]
    lowest = cumulative[-1] + (masses * np.minimum(others, 1)).sum()
    highest = cumulative[-1] + (masses * np.maximum(others, 1)).sum()
    bounds = uniform * lowest * (1 - ROUNDING), uniform * highest * (1 + ROUNDING)
    first, last = cumulative.searchsorted(bounds, side="right").tolist()
    return first if first == last < len(common) else None


def likeliest_early(common: Floats, clusters: Floats) -> int | None:
    """Return the likeliest token, the lowest id among equals; None if it may be in a cluster."""
    best = int(common.argmax())
    # No token of a cluster is likelier than the cluster. Numbers that are not finite fail this.
    return best if common[best] >= clusters.max() else None
