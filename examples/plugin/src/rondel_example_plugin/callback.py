"""A callback: tell of gradients that are much larger than usual."""

from __future__ import annotations

import click

from rondel.training.callbacks import Callback, callbacks
from rondel.training.learner import StepResult
from rondel.training.run import Run

FACTOR, MEMORY = 10.0, 0.9


@callbacks.register("example-spikes")
class GradientSpikes(Callback):
    """Writes a line on standard error for each step whose gradient's norm is ten times the usual.

    ::

        rondel train book.txt --callback example-spikes
        rondel.train("book.txt", callbacks=[GradientSpikes()])
    """

    def started(self, run: Run) -> None:
        """See `Callback.started`."""
        self.usual: float | None = None

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """See `Callback.stepped`."""
        norm = result.gradient_norm
        if self.usual is not None and norm > FACTOR * self.usual:
            click.echo(f"step {run.progress.step}: gradient norm {norm:.3g}", err=True)
        usual = norm if self.usual is None else self.usual
        self.usual = MEMORY * usual + (1 - MEMORY) * norm
