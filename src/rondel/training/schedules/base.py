"""What a schedule is here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple


class Standing(NamedTuple):
    """Where a run stands: `fraction` of the way to its end (0-1), passes over the text so far,
    and how often a plateau has made the rate decay.
    """

    fraction: float
    epoch: float
    decays: int


class Schedule(ABC):
    """A subclass is a frozen dataclass; its fields are the schedule's settings."""

    plateau_patience: int | None = None
    """Validations without progress after which `Standing.decays` counts one more; None: never."""

    @classmethod
    def settings_types(cls) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        return {"training": cls}

    @abstractmethod
    def factor(self, at: Standing) -> float:
        """What the highest learning rate is multiplied by, from where a run stands alone."""


def half_cosine(begin: float, end: float, fraction: float) -> float:
    """From `begin` to `end` along half a cosine; `fraction` (0-1) of the way."""
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
