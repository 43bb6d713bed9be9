"""The base class of learning-rate schedules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple


class Standing(NamedTuple):
    """How far a run has come: the `fraction` of it that is done (0-1), the passes over the text,
    and how often a plateau has decayed the rate.
    """

    fraction: float
    epoch: float
    decays: int


class Schedule(ABC):
    """A schedule. A subclass is a frozen dataclass; its fields are the schedule's settings."""

    plateau_patience: int | None = None
    """Validations without progress after which `Standing.decays` increases by 1; None: never."""

    @classmethod
    def settings_types(cls) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        return {"training": cls}

    @abstractmethod
    def factor(self, at: Standing) -> float:
        """Return the factor of the highest learning rate; a pure function of `at`."""


def half_cosine(begin: float, end: float, fraction: float) -> float:
    """Interpolate from `begin` to `end` along half a cosine; `fraction` is 0 to 1."""
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
