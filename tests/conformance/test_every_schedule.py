"""Every registered schedule: a function of where a run stands, and of its settings."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from _settings import others, training_config

from rondel.data.batches import Batch, Cursor
from rondel.training.learner import StepResult
from rondel.training.progress import Progress
from rondel.training.schedules import Standing, build_schedule, learning_rate, schedules

every_schedule = pytest.mark.parametrize("name", schedules)
PLACES = [
    Standing(fraction, epoch, decays)
    for fraction, epoch, decays in itertools.product(
        (0.0, 0.005, 0.01, 0.02, 0.15, 0.3, 0.5, 0.99, 1.0), (0.0, 0.5, 12.0), (0, 1, 7)
    )
]
TOKENS = np.zeros((4, 2), np.int64)


def rates_of(name: str, **settings: Any) -> list[float]:
    """The rates of a run of 120 steps in twelve passes, which stops getting better halfway.

    Before every step its progress is written to a file's values and read back, as a resume does.
    """
    config = training_config(schedule=name, steps=120, learning_rate=1.0, **settings)
    progress, rates = Progress(steps_per_epoch=10), []
    for step in range(120):
        progress = Progress.from_json(json.loads(json.dumps(progress.to_json())))
        rates.append(learning_rate(config, progress.standing(config)))
        cursor = Cursor(*divmod(step + 1, 10))
        progress.count(Batch(TOKENS, TOKENS, False), cursor, StepResult(1.0, {"nll": 1.0}, 1.0))
        if step % 5 == 4:
            progress.close_interval(max(1.0, 3.0 - step / 30), config)
    return rates


@every_schedule
def test_a_rate_is_above_zero_and_no_higher_than_what_was_given(name: str) -> None:
    config = training_config(schedule=name, learning_rate=0.5)
    for at in PLACES:
        factor = build_schedule(config).factor(at)
        assert isinstance(factor, float)
        assert 0 < factor <= 1
        assert learning_rate(config, at) == 0.5 * factor


@every_schedule
def test_the_highest_rate_is_the_one_that_was_given(name: str) -> None:
    assert max(rates_of(name)) > 0.9


@every_schedule
def test_the_same_place_has_the_same_rate_in_any_order(name: str) -> None:
    config = training_config(schedule=name)
    schedule = build_schedule(config)
    forth = [schedule.factor(at) for at in PLACES]
    back = [build_schedule(config).factor(at) for at in reversed(PLACES)]
    assert back == forth[::-1] == [schedule.factor(at) for at in PLACES][::-1]
    assert schedule == build_schedule(config)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [(name, *pair) for name, cls in schedules.items() for pair in others(cls)],
)
def test_a_setting_has_an_effect(name: str, setting: str, value: Any) -> None:
    assert rates_of(name, **{setting: value}) != rates_of(name)
