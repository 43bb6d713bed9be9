"""A sample every so often: how the model writes by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel.engine import NumpyEngine
from rondel.generation.generate import GenerationSettings, generate
from rondel.training.callbacks.base import Callback
from rondel.training.learner import StepResult
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

LENGTHS = {"word": 40}
OTHER_LENGTH = 200
TEMPERATURE = 0.8


class Samples(Callback):
    """Prints a sample every `sample_every` steps, or with each validation.

    The draw depends on the seed and the step alone, and touches no random state of the training.
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """Print a sample if this is a step for one."""
        every = run.config.training.sample_every
        if every and run.progress.step % every == 0:
            self._show(run)

    def validated(self, run: Run, is_best: bool) -> None:
        """Print a sample, unless steps were named for it."""
        if run.config.training.sample_every is None:
            self._show(run)

    def _show(self, run: Run) -> None:
        model, step = run.model(), run.progress.step
        prime = model.excerpts[step % len(model.excerpts)]
        settings = GenerationSettings(
            length=LENGTHS.get(model.tokenizer.level, OTHER_LENGTH),
            seed=run.config.training.seed + step,
            rules={"temperature": TEMPERATURE},
        )
        engine = NumpyEngine(model.config, model.weights)
        text = prime + "".join(generate(engine, model.tokenizer, settings, prime))
        self.console.print(text.strip(), style="dim", markup=False, highlight=False, soft_wrap=True)
        self.console.print()
