"""A rate that decays when the validation loss no longer improves."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.settings.fields import setting
from rondel.training.schedules import schedules
from rondel.training.schedules.base import Schedule, Standing


@schedules.register("plateau")
@dataclass(frozen=True)
class Plateau(Schedule):
    """Multiplied by `decay` after every `plateau_patience` validations without progress."""

    decay: float = setting(0.97, "factor of the decay, after each epoch or plateau", above=0)
    plateau_patience: int = setting(2, "validations without progress before a decay", at_least=1)

    def factor(self, at: Standing) -> float:
        """See `Schedule.factor`."""
        return float(self.decay**at.decays)
