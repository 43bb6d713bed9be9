"""Samples printed during training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel.artifact import Artifact
from rondel.engine import NumpyEngine
from rondel.generation.generate import generate
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.opening import opening_of
from rondel.kinds import kind_of
from rondel.training.callbacks import Callback, callbacks
from rondel.training.learner import StepResult
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

LENGTH, LENGTH_IN_WORDS = 200, 40
"""Tokens of a sample, by characters or subwords and by words."""
TEMPERATURE = 0.8


@callbacks.register("samples")
class Samples(Callback):
    """Prints a sample every `sample_every` steps, or with each validation.

    It depends only on the seed and the step, and does not use the training's random state.
    """

    shows = True

    def __init__(self, console: Console) -> None:
        self.console = console

    @classmethod
    def standard(cls, console: Console | None) -> Samples | None:
        """See `Callback.standard`."""
        return cls(console) if console else None

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """Print a sample, if it is due at this step."""
        every = run.config.training.sample_every
        if every and run.progress.step % every == 0:
            self._show(run)

    def validated(self, run: Run, is_best: bool) -> None:
        """Print a sample, unless `sample_every` is set."""
        if run.config.training.sample_every is None:
            self._show(run)

    def _show(self, run: Run) -> None:
        model, step, seed = run.model(), run.progress.step, run.config.training.seed
        text = kind_of(model.config).show_sample(model, seed + step, step)
        # Invalid UTF-8 is lone surrogates in a text, which a console may fail to encode.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
        self.console.print()


def written_text(model: Artifact, seed: int, number: int) -> str:
    """Write a text without a prime."""
    opening = opening_of(model.tokenizer, model.excerpts[number % len(model.excerpts)])
    words = model.tokenizer.whole_words
    settings = GenerationSettings(
        length=LENGTH_IN_WORDS if words else LENGTH, seed=seed, rules={"temperature": TEMPERATURE}
    )
    engine = NumpyEngine(model.config, model.weights)
    written = generate(engine, model.tokenizer, settings, opening.prime)
    return (opening.shown + "".join(written)).strip()
