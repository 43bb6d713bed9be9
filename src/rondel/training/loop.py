"""The training loop, independent of what is trained and of the callbacks."""

from __future__ import annotations

from rondel.training.interrupts import Interrupts
from rondel.training.schedules import learning_rate
from rondel.training.session import Session


def fit(run: Session) -> str:
    """Train until a limit, an interrupt or early stopping; return which, in words.

    Raises `NonFiniteLossError` if the loss or a weight is not finite; the last save is then from
    before that.
    """
    settings, progress = run.config.training, run.progress
    batches = run.batches()
    with Interrupts(run.ranks) as interrupts, run.watched():
        progress.start_clock(run.ranks)
        while not (reason := interrupts.caught or run.reason_to_stop()):
            batch, cursor = next(batches)
            rate = learning_rate(settings, progress.standing(settings))
            result = run.learner.step(batch, rate)
            if not result.finite:
                raise run.not_finite(f"step {progress.step + 1}: {result.fault}")
            progress.count(batch, cursor, result)
            run.notify("stepped", result, rate)
            if run.validation_is_due():
                run.validate()
            elif run.save_is_due():
                run.save()
        if interrupts.caught:
            run.save_interrupted()
        elif progress.loss_count:
            run.validate()
    return reason
