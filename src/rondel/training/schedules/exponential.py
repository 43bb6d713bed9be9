"""A rate that decays with each epoch, as in char-rnn."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rondel.settings.fields import setting
from rondel.training.schedules import schedules
from rondel.training.schedules.base import Schedule, Standing


@schedules.register("exponential")
@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiplied by `decay` for each epoch after the first `decay_after` (char-rnn: 0.97, 10)."""

    decay: float = setting(0.97, "factor of the decay, after each epoch or plateau", above=0)
    decay_after: int = setting(10, "epochs at the full rate, before the decay", at_least=1)

    def factor(self, at: Standing) -> float:
        """See `Schedule.factor`."""
        return float(self.decay ** max(0, math.floor(at.epoch) + 1 - self.decay_after))
