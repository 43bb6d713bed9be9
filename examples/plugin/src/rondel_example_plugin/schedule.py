"""A schedule: a straight line up, and one down."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.settings import setting
from rondel.training.schedules import Schedule, Standing, schedules

LOWEST = 0.01


@schedules.register("example-linear")
@dataclass(frozen=True)
class Linear(Schedule):
    """Up for the first `example_warm_up` of the run, then down, never below 1 %."""

    example_warm_up: float = setting(
        0.1, "fraction of the run in which the rate rises", at_least=0, below=1
    )

    def factor(self, at: Standing) -> float:
        """See `Schedule.factor`."""
        up, down = self.example_warm_up, 1 - self.example_warm_up
        line = at.fraction / up if at.fraction < up else (1 - at.fraction) / down
        return max(LOWEST, line)
