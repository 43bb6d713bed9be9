"""Top-p, or nucleus: draw from the likeliest tokens that have most of the probability.

Holtzman, Buys, Du, Forbes & Choi 2020, "The Curious Case of Neural Text Degeneration".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rondel.engine.probability import softmax
from rondel.generation.sampling.rules import Rule, parameter, rules
from rondel.generation.sampling.rules.base import History, Logits


@rules.register("top_p")
@dataclass(frozen=True)
class TopP(Rule):
    """Keeps the likeliest tokens, up to and with the one that brings their sum to p.

    Of tokens as likely, that of the lowest id comes first.
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
        probabilities = softmax(logits)
        # Tokens less likely than (1 - p) / V have less than 1 - p together, so that the nucleus is
        # among the others: of a large vocabulary, few are left to sort.
        candidates = np.flatnonzero(probabilities >= (1 - self.top_p) / len(logits))
        ranked = candidates[np.argsort(-probabilities[candidates], kind="stable")]
        before = np.searchsorted(np.cumsum(probabilities[ranked]), self.top_p)
        nucleus = ranked[: before + 1]
        result = np.full_like(logits, -np.inf)
        result[nucleus] = logits[nucleus]
        return result
