"""Min-p: leave out tokens far less likely than the likeliest.

Nguyen, Baker, Neo, Roush, Kirsch & Shwartz-Ziv 2025, "Turning Up the Heat: Min-p Sampling for
Creative and Coherent LLM Outputs".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rondel.generation.sampling.rules import Rule, parameter, rules
from rondel.generation.sampling.rules.base import History, Logits


@rules.register("min_p")
@dataclass(frozen=True)
class MinP(Rule):
    """Keeps tokens whose probability is at least this fraction of the likeliest one's."""

    min_p: float = parameter(
        0.0,
        "leave out tokens below this fraction of the likeliest one's probability; 0 for none",
        at_least=0,
        at_most=1,
    )

    order: ClassVar[int] = 50
    keeps_likeliest: ClassVar[bool] = True

    def apply(self, logits: Logits, history: History) -> Logits:
        """See `Rule.apply`."""
        if self.min_p == 0:
            return logits
        # A ratio of probabilities is a difference of logits, so no softmax is needed.
        kept = logits >= logits.max() + math.log(self.min_p)
        result: Logits = np.where(kept, logits, -np.inf)
        return result
