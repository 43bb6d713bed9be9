"""Top-p, or nucleus sampling: draw from the likeliest tokens that together have probability p.

Holtzman, Buys, Du, Forbes & Choi 2020, "The Curious Case of Neural Text Degeneration".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from rondel.engine.probability import softmax
from rondel.generation.sampling.rules import Rule, parameter, rules
from rondel.generation.sampling.rules.base import History, Logits

FIRST_SORTED = 256
"""How many of the likeliest tokens are sorted first; most nuclei have fewer."""


@rules.register("top_p")
@dataclass(frozen=True)
class TopP(Rule):
    """Keeps the fewest likeliest tokens whose probabilities sum to at least p.

    Of equally likely tokens, the one with the lowest id comes first.
    """

    top_p: float = parameter(
        1.0,
        "draw from the likeliest tokens that have this probability together; 1 for all",
        above=0,
        at_most=1,
    )

    order: ClassVar[int] = 40
    keeps_likeliest: ClassVar[bool] = True

    def apply(self, logits: Logits, history: History) -> Logits:
        """See `Rule.apply`."""
        if self.top_p == 1:
            return logits
        kept = _nucleus(softmax(logits), self.top_p)
        result: Logits = np.where(kept, logits, -np.inf)
        return result


def _nucleus(probabilities: Logits, top_p: float) -> npt.NDArray[np.bool_]:
    """Return which tokens (V,) are kept.

    Values alone are sorted, and no more of the largest than it takes to reach `top_p`.
    """
    # Tokens less likely than (1 - p) / V have less than 1 - p together, so that the nucleus is
    # among the others.
    candidates = probabilities[probabilities >= (1 - top_p) / len(probabilities)]
    count = FIRST_SORTED
    while True:
        largest = candidates
        if count < len(candidates):
            largest = np.partition(candidates, len(candidates) - count)[-count:]
        ranked = np.sort(largest)[::-1]
        reached = np.cumsum(ranked)
        if len(ranked) == len(candidates) or reached[-1] >= top_p:
            break
        count *= 8
    last = min(int(np.searchsorted(reached, top_p)), len(ranked) - 1)
    kept: npt.NDArray[np.bool_] = probabilities > ranked[last]
    as_likely = np.flatnonzero(probabilities == ranked[last])
    kept[as_likely[: last + 1 - int(kept.sum())]] = True
    return kept
