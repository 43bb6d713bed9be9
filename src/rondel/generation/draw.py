"""The one place that draws."""

from __future__ import annotations

import numpy as np

from rondel.engine.probability import Logits, unnormalized


def stream_rng(seed: int | None, index: int = 0) -> np.random.Generator:
    """The generator of sample `index` of a seed: the same however many samples are asked for.

    Without a seed it is another one each time.
    """
    entropy = None if seed is None else (seed, index)
    return np.random.default_rng(np.random.SeedSequence(entropy))


def draw(logits: Logits, rng: np.random.Generator) -> int:
    """A token drawn from softmax(logits), by one uniform number and the inverse of the CDF.

    A token of logit -inf is never drawn. Raises `ModelFolderError` if no logit is finite, or one is
    not a number.
    """
    cumulative = unnormalized(logits).cumsum()
    # The total is at least 1 and the uniform number at most 1 - 2**-53, so that their product
    # rounds below the total; the first sum that is greater has grown there, by a weight above 0.
    return int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))
