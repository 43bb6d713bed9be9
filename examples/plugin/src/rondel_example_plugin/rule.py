"""A sampling rule: locally typical sampling (Meister et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rondel.engine.probability import softmax
from rondel.generation.sampling.rules import Rule, parameter, rules
from rondel.generation.sampling.rules.base import History, Logits


@rules.register("example_typical")
@dataclass(frozen=True)
class Typical(Rule):
    """Keeps the tokens whose surprisal is nearest to the entropy, until they sum to p."""

    example_typical_p: float = parameter(
        1.0,
        "draw from the tokens that surprise as much as is to be expected, and have this "
        "probability together; 1 for all",
        above=0,
        at_most=1,
    )

    order: ClassVar[int] = 45

    def apply(self, logits: Logits, history: History) -> Logits:
        """See `Rule.apply`."""
        if self.example_typical_p == 1:
            return logits
        probabilities = softmax(logits)
        possible = np.flatnonzero(probabilities)
        surprisals = -np.log(probabilities[possible])
        entropy = (probabilities[possible] * surprisals).sum()
        ranked = possible[np.argsort(np.abs(surprisals - entropy), kind="stable")]
        before = np.searchsorted(np.cumsum(probabilities[ranked]), self.example_typical_p)
        kept = ranked[: before + 1]
        result = np.full_like(logits, -np.inf)
        result[kept] = logits[kept]
        return result
