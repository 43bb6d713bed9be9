"""One cycle up and down (Smith & Topin 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.training.schedules import schedules
from rondel.training.schedules.base import Schedule, Standing, half_cosine

RISE, START, LOWEST = 0.3, 1 / 25, 0.01


@schedules.register("one-cycle")
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from 1/25 for 30 % of the run, then down to 1 %."""

    def factor(self, at: Standing) -> float:
        """See `Schedule.factor`."""
        if at.fraction < RISE:
            return half_cosine(START, 1.0, at.fraction / RISE)
        return half_cosine(1.0, LOWEST, (at.fraction - RISE) / (1 - RISE))
