"""Repetition penalty: make tokens that came before less likely.

Keskar, McCann, Varshney, Xiong & Socher 2019, "CTRL", section 4.1; but negative logits are
multiplied, not divided, so that a penalty above 1 never makes a token likelier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rondel.generation.sampling.rules import Rule, parameter, rules
from rondel.generation.sampling.rules.base import History, Logits


@rules.register("repetition_penalty")
@dataclass(frozen=True)
class RepetitionPenalty(Rule):
    """Divides positive logits of tokens in the history, prime included; multiplies negative ones.

    It depends on the sign of the logits, so it applies before the rules that shift them.
    """

    # The limits keep every finite float32 logit finite in float64.
    repetition_penalty: float = parameter(
        1.0,
        "above 1 makes tokens that came before less likely, below 1 likelier",
        at_least=0.01,
        at_most=100,
    )

    order: ClassVar[int] = 10

    def apply(self, logits: Logits, history: History) -> Logits:
        """See `Rule.apply`."""
        seen = logits[history]
        penalty = self.repetition_penalty
        result: Logits = logits.copy()
        # A token that occurs twice is assigned twice, the same value.
        result[history] = np.where(seen > 0, seen / penalty, seen * penalty)
        return result
