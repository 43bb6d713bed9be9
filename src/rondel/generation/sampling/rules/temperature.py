"""Temperature: how random the draw is (Ackley, Hinton & Sejnowski 1985)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rondel.engine.probability import argmax, largest_logit
from rondel.generation.sampling.rules import Rule, parameter, rules
from rondel.generation.sampling.rules.base import History, Logits


@rules.register("temperature")
@dataclass(frozen=True)
class Temperature(Rule):
    """Divides the logits; at 0, the limit, only the likeliest token is left.

    Of equally likely ones, that is the one with the lowest id.
    """

    temperature: float = parameter(
        1.0, "below 1 is safer, above 1 bolder; 0 takes the likeliest token", at_least=0
    )

    order: ClassVar[int] = 20
    keeps_likeliest: ClassVar[bool] = True

    def apply(self, logits: Logits, history: History) -> Logits:
        """See `Rule.apply`."""
        if self.temperature == 0:
            result = np.full_like(logits, -np.inf)
            best = argmax(logits)
            result[best] = logits[best]
            return result
        # With the largest logit at 0, a temperature near 0 can overflow to -inf only, as it should.
        with np.errstate(over="ignore"):
            scaled: Logits = (logits - largest_logit(logits)) / self.temperature
        return scaled
