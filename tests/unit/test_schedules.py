"""Learning rates at chosen points, and how far along a run says it is."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from _settings import training_config

from rondel.data.batches import Batch, Cursor
from rondel.training.learner import StepResult
from rondel.training.progress import Progress
from rondel.training.schedules import Standing, learning_rate


def rate(schedule: str, at: Standing, **settings: Any) -> float:
    return learning_rate(training_config(schedule=schedule, learning_rate=0.2, **settings), at)


POINTS = {
    "constant": [(0.0, 0.2), (0.5, 0.2), (1.0, 0.2)],
    # Up to 0.2 at 2 % of the way, half the rest of the way at (1 + 1 %) / 2, down to 1 %.
    "cosine": [
        (0.0, 0.002),
        (0.01, 0.1),
        (0.02, 0.2),
        (0.265, 0.002 + 0.198 * (1 + math.sqrt(0.5)) / 2),
        (0.51, 0.101),
        (1.0, 0.002),
    ],
    "one-cycle": [(0.0, 0.008), (0.15, 0.104), (0.3, 0.2), (0.65, 0.101), (1.0, 0.002)],
}


@pytest.mark.parametrize("schedule", POINTS)
def test_rates_at_points_of_the_way(schedule: str) -> None:
    for fraction, expected in POINTS[schedule]:
        assert rate(schedule, Standing(fraction, 3.0, 2)) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_a_rate_rises_to_its_highest_and_falls_without_a_jump(schedule: str) -> None:
    fractions = np.linspace(0, 1, 2001)
    rates = np.array([rate(schedule, Standing(f, 0, 0)) for f in fractions.tolist()])
    assert rates.max() == pytest.approx(0.2)
    top = int(rates.argmax())
    assert fractions[top] == pytest.approx(0.02 if schedule == "cosine" else 0.3)
    assert (np.diff(rates[: top + 1]) >= 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert np.abs(np.diff(rates)).max() < 0.006
    assert rates.min() > 0


def char_rnn(epochs: int, steps_an_epoch: int, decay: float, decay_after: int) -> list[float]:
    """The rates of char-rnn's loop, which counts from 1 and decays after the last step of a pass.

    https://github.com/karpathy/char-rnn/blob/master/train.lua
    """
    rates, current = [], 1.0
    for i in range(1, epochs * steps_an_epoch + 1):
        rates.append(current)
        if i % steps_an_epoch == 0 and i / steps_an_epoch >= decay_after:
            current *= decay
    return rates


@pytest.mark.parametrize(("decay", "decay_after"), [(0.97, 10), (0.5, 1), (0.9, 3)])
def test_exponential_decay_is_char_rnns(decay: float, decay_after: int) -> None:
    settings = {"decay": decay, "decay_after": decay_after}
    ours = [
        rate("exponential", Standing(0.0, step / 7, 0), **settings) / 0.2 for step in range(15 * 7)
    ]
    assert ours == pytest.approx(char_rnn(15, 7, decay, decay_after))
    assert ours[decay_after * 7 - 1] == 1
    assert ours[decay_after * 7] == pytest.approx(decay)


def test_a_plateau_decays_with_every_so_many_validations_without_progress() -> None:
    config = training_config(
        schedule="plateau", learning_rate=0.2, decay=0.5, plateau_patience=2, steps=100
    )
    progress, rates = Progress(steps_per_epoch=10), []
    for loss in (3.0, 2.0, 2.0, 2.5, 2.4, 1.9, 1.95, 1.9, 1.9, 1.9):
        count(progress, loss=1.0)
        progress.close_interval(loss, config)
        rates.append(learning_rate(config, progress.standing(config)))
    assert rates == pytest.approx([0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025])


def count(progress: Progress, loss: float) -> None:
    tokens = np.zeros((4, 2), np.int64)
    result = StepResult(loss, {"nll": loss}, 1.0)
    progress.count(Batch(tokens, tokens, False), Cursor(0, progress.step + 1), result)


def test_progress_counts() -> None:
    progress = Progress(steps_per_epoch=4)
    for loss in (3.0, 2.0, 1.0, 4.0, 5.0, 6.0):
        count(progress, loss)
    assert (progress.step, progress.tokens, progress.epoch) == (6, 48, 1.5)
    assert progress.cursor == Cursor(0, 6)
    assert progress.close_interval(2.5, training_config())
    assert (progress.train_loss, progress.val_loss) == (3.5, 2.5)
    count(progress, 1.5)
    assert not progress.close_interval(2.5, training_config())  # as good is no progress
    assert (progress.train_loss, progress.best_loss, progress.best_step) == (1.5, 2.5, 6)
    assert progress.without_progress == 1
    count(progress, 1.25)
    assert progress.close_interval(2.25, training_config())
    assert (progress.best_loss, progress.best_step, progress.without_progress) == (2.25, 8, 0)
    assert progress.summary() == {
        "step": 8,
        "epoch": 2.0,
        "tokens": 64,
        "seconds": 0.0,
        "train_loss": 1.25,
        "val_loss": 2.25,
    }
    progress.cursor = Cursor(1, 3)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress


def test_without_validation_the_training_loss_is_judged() -> None:
    progress = Progress(steps_per_epoch=4)
    bests = []
    for loss in (3.0, 3.5, 2.0):
        count(progress, loss)
        bests.append(progress.close_interval(None, training_config()))
    assert bests == [True, False, True]
    assert (progress.best_loss, progress.val_loss) == (2.0, None)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"steps": 40}, 0.25),
        ({"epochs": 4}, 0.625),
        ({"minutes": 2}, 0.75),
        ({"steps": 40, "minutes": 2}, 0.75),
        ({"steps": 10, "epochs": 4, "minutes": 2}, 1.0),
        ({"steps": 5}, 1.0),
        ({"epochs": 0.5}, 1.0),
    ],
)
def test_the_nearest_limit_says_how_far_a_run_is(limits: dict[str, float], expected: float) -> None:
    progress = Progress(steps_per_epoch=4, step=10, seconds=90.0)
    config = training_config(**limits)
    assert progress.fraction(config) == expected
    assert progress.standing(config) == Standing(expected, 2.5, 0)


def test_the_clock_goes_on_where_it_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress(steps_per_epoch=4, seconds=30.0)
    assert progress.read_clock() == 30.0
    progress.start_clock()
    now = 1012.5
    assert progress.read_clock() == 42.5
    assert progress.fraction(training_config(minutes=1)) == pytest.approx(42.5 / 60)
    assert "_ranks" not in progress.to_json()
