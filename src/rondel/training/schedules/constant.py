"""A constant rate."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.training.schedules import schedules
from rondel.training.schedules.base import Schedule, Standing


@schedules.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The highest rate throughout."""

    def factor(self, at: Standing) -> float:
        """See `Schedule.factor`."""
        return 1.0
