"""Learning-rate schedules, one a file: a frozen record of settings, and one pure function."""

from __future__ import annotations

from rondel.registry import Registry
from rondel.settings.fields import settings_of
from rondel.settings.sections import TrainingConfig
from rondel.training.schedules.base import Schedule, Standing, half_cosine

schedules: Registry[type[Schedule]] = Registry("schedule", "rondel.training.schedules")


def build_schedule(config: TrainingConfig) -> Schedule:
    """Build the schedule that `config` names, with its settings."""
    cls = schedules[config.schedule]
    return cls(**{name: config.own[name] for name in settings_of(cls) if name in config.own})


def learning_rate(config: TrainingConfig, at: Standing) -> float:
    """Return the learning rate of the next step."""
    return config.learning_rate * build_schedule(config).factor(at)


__all__ = ["Schedule", "Standing", "build_schedule", "half_cosine", "learning_rate", "schedules"]
