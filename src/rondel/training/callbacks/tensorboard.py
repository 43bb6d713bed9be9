"""The run's curves for TensorBoard."""

from __future__ import annotations

from typing import Any

from rondel.errors import require
from rondel.training.callbacks.base import Callback
from rondel.training.learner import StepResult
from rondel.training.run import Run

FOLDER = "tensorboard"


class TensorBoard(Callback):
    """Writes every loss term, the learning rate and the validation loss as scalars."""

    def __init__(self) -> None:
        self._writer: Any = None

    def started(self, run: Run) -> None:
        """Open an event file."""
        summary = require("tensorboard.summary", "train")
        self._writer = summary.Writer(str(run.folder / FOLDER))

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """Write the training scalars, every tenth step."""
        step = run.progress.step
        if step % 10 == 0:
            for name, value in result.terms.items():
                self._writer.add_scalar(f"train/{name}", value, step)
            self._writer.add_scalar("train/gradient_norm", result.gradient_norm, step)
            self._writer.add_scalar("learning_rate", learning_rate, step)

    def validated(self, run: Run, is_best: bool) -> None:
        """Write the validation loss, and what else was found."""
        if run.progress.val_loss is not None:
            self._writer.add_scalar("validation/loss", run.progress.val_loss, run.progress.step)
            for name, value in run.figures.items():
                self._writer.add_scalar(f"validation/{name}", value, run.progress.step)
            self._writer.flush()

    def closed(self, run: Run) -> None:
        """Close the event file."""
        self._writer.close()
