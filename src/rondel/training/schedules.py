"""Learning-rate schedules: pure functions from where a run stands to a factor of the rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from rondel.config import TrainingConfig

WARM_UP = 0.02
ONE_CYCLE_RISE, ONE_CYCLE_START = 0.3, 1 / 25
LOWEST = 0.01


class Standing(NamedTuple):
    """Where a run stands: `fraction` of the way to its end (0-1), passes over the text so far,
    and how often a plateau has made the rate decay.
    """

    fraction: float
    epoch: float
    decays: int


Schedule = Callable[[TrainingConfig, Standing], float]


def constant(config: TrainingConfig, at: Standing) -> float:
    """The rate as given, throughout."""
    return 1.0


def exponential(config: TrainingConfig, at: Standing) -> float:
    """Times `decay` for each epoch after the first `decay_after` (char-rnn's 0.97 after 10)."""
    return float(config.decay ** max(0, math.floor(at.epoch) + 1 - config.decay_after))


def cosine(config: TrainingConfig, at: Standing) -> float:
    """A short rise, then half a cosine down to 1 % (Loshchilov & Hutter 2017)."""
    if at.fraction < WARM_UP:
        return max(LOWEST, at.fraction / WARM_UP)
    return _half_cosine(1.0, LOWEST, (at.fraction - WARM_UP) / (1 - WARM_UP))


def one_cycle(config: TrainingConfig, at: Standing) -> float:
    """Up from 1/25 for 30 % of the run, then down to 1 % (Smith & Topin 2018)."""
    if at.fraction < ONE_CYCLE_RISE:
        return _half_cosine(ONE_CYCLE_START, 1.0, at.fraction / ONE_CYCLE_RISE)
    return _half_cosine(1.0, LOWEST, (at.fraction - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))


def plateau(config: TrainingConfig, at: Standing) -> float:
    """Times `decay` each time that `plateau_patience` validations brought no progress."""
    return float(config.decay**at.decays)


def _half_cosine(begin: float, end: float, fraction: float) -> float:
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "exponential": exponential,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "plateau": plateau,
}


def learning_rate(config: TrainingConfig, at: Standing) -> float:
    """The learning rate that the next step uses."""
    assert config.learning_rate is not None
    return config.learning_rate * SCHEDULES[config.schedule](config, at)
