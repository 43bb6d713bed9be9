"""Progress on the console: a line that is redrawn, and a line for each validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rondel.kinds import kind_of
from rondel.training.callbacks import Callback, callbacks
from rondel.training.learner import StepResult
from rondel.training.run import Run
from rondel.units import clock, describe_loss

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

SMOOTHING = 0.98


@callbacks.register("console")
class ConsoleProgress(Callback):
    """Shows loss, bits per character or perplexity, tokens per second and the time left."""

    shows = True

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Bar | None = None
        self._loss = math.nan
        self._rate = 0.0
        self._last = self._printed = (0, 0.0)

    @classmethod
    def standard(cls, console: Console | None) -> ConsoleProgress | None:
        """See `Callback.standard`."""
        return cls(console) if console else None

    def started(self, run: Run) -> None:
        """Draw the progress line, on a terminal."""
        self._last = self._printed = (run.progress.tokens, run.progress.seconds)
        if not self.console.is_terminal:
            return
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.description}"),
            console=self.console,
            transient=True,
        )
        self._bar.add_task("", total=1.0)
        self._bar.start()

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """Update the progress line, a few times a second."""
        previous = result.loss if math.isnan(self._loss) else self._loss
        self._loss = SMOOTHING * previous + (1 - SMOOTHING) * result.loss
        tokens, seconds = self._last
        if run.progress.seconds - seconds < 0.2:
            return
        self._rate = (run.progress.tokens - tokens) / (run.progress.seconds - seconds)
        self._last = (run.progress.tokens, run.progress.seconds)
        if self._bar is not None:
            fraction = run.progress.fraction(run.config.training)
            self._bar.update(
                self._bar.task_ids[0], completed=fraction, description=self._line(run, fraction)
            )

    def validated(self, run: Run, is_best: bool) -> None:
        """Print a line about the validation."""
        at, kind = run.progress, kind_of(run.config.model)
        token = kind.loss_unit(run.tokenizer.token_noun)
        of = "" if kind.loss_name == "loss" else f"{kind.loss_name}: "
        parts = [
            f"step {at.step:,}",
            f"epoch {at.epoch:.2f}",
            f"{of}train {at.train_loss:.3f}",
        ]
        if at.val_loss is not None:
            parts.append(f"validation {describe_loss(at.val_loss, token)}")
            parts += [f"{name.replace('_', ' ')} {run.figures[name]:.3g}" for name in run.figures]
        tokens, seconds = self._printed
        rate = (at.tokens - tokens) / max(at.seconds - seconds, 1e-9)
        self._printed = (at.tokens, at.seconds)
        parts.append(f"{rate:,.0f} tokens/s")
        parts.append(clock(at.seconds))
        self.console.print(
            " · ".join(parts) + ("  *" if is_best else ""), highlight=False, soft_wrap=True
        )

    def closed(self, run: Run) -> None:
        """Remove the progress line."""
        if self._bar is not None:
            self._bar.stop()

    def _line(self, run: Run, fraction: float) -> str:
        kind = kind_of(run.config.model)
        left = run.progress.seconds * (1 / fraction - 1) if fraction > 0 else math.inf
        return (
            f"{kind.loss_name} "
            f"{describe_loss(self._loss, kind.loss_unit(run.tokenizer.token_noun))} · "
            f"{self._rate:,.0f} tokens/s · {clock(left)} left"
        )
