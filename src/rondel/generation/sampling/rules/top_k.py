"""Top-k: draw from the k likeliest tokens (Fan, Lewis & Dauphin 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rondel.engine.probability import largest
from rondel.generation.sampling.rules import Rule, parameter, rules
from rondel.generation.sampling.rules.base import History, Logits


@rules.register("top_k")
@dataclass(frozen=True)
class TopK(Rule):
    """Keeps the k largest logits; among equal ones, those with the lowest ids."""

    top_k: int = parameter(0, "draw from this many of the likeliest tokens; 0 for all", at_least=0)

    order: ClassVar[int] = 30
    keeps_likeliest: ClassVar[bool] = True

    def apply(self, logits: Logits, history: History) -> Logits:
        """See `Rule.apply`."""
        if self.top_k == 0 or self.top_k >= len(logits):
            return logits
        kept = largest(logits, self.top_k)
        result = np.full_like(logits, -np.inf)
        result[kept] = logits[kept]
        return result
