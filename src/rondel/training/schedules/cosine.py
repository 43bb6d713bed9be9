"""Cosine decay after a short warm-up (Loshchilov & Hutter 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.training.schedules import schedules
from rondel.training.schedules.base import Schedule, Standing, half_cosine

WARM_UP, LOWEST = 0.02, 0.01


@schedules.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """A rise for the first 2 % of the run, then half a cosine down to 1 %."""

    def factor(self, at: Standing) -> float:
        """See `Schedule.factor`."""
        if at.fraction < WARM_UP:
            return max(LOWEST, at.fraction / WARM_UP)
        return half_cosine(1.0, LOWEST, (at.fraction - WARM_UP) / (1 - WARM_UP))
