"""A sample every so often: how the model writes by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel.artifact import Artifact
from rondel.engine import NumpyEngine
from rondel.engine.sentence_vae_engine import SentenceVAEEngine
from rondel.generation.generate import generate
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.latent_points import decode
from rondel.generation.opening import opening_of
from rondel.generation.sampling.sampler import draw_latents
from rondel.kinds import kind_of
from rondel.kinds.sentence_vae_kind import LatentSettings
from rondel.training.callbacks import Callback, callbacks
from rondel.training.learner import StepResult
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

LENGTH, WORDS, SENTENCES = 200, 40, 3
"""Tokens of a text, words of one of words, sentences."""
TEMPERATURE = 0.8


@callbacks.register("samples")
class Samples(Callback):
    """Prints a sample every `sample_every` steps, or with each validation.

    The draw depends on the seed and the step alone, and touches no random state of the training.
    """

    shows = True

    def __init__(self, console: Console) -> None:
        self.console = console

    @classmethod
    def standard(cls, console: Console | None) -> Samples | None:
        """See `Callback.standard`."""
        return cls(console) if console else None

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
        model, step, seed = run.model(), run.progress.step, run.config.training.seed
        text = kind_of(model.config).show_sample(model, seed + step, step)
        # Bytes that are no UTF-8 stand in a text as lone surrogates, which not every stream takes.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
        self.console.print()


def written_text(model: Artifact, seed: int, number: int) -> str:
    """A text that begins where one without a prime does."""
    opening = opening_of(model.tokenizer, model.excerpts[number % len(model.excerpts)])
    words = model.tokenizer.whole_words
    settings = GenerationSettings(
        length=WORDS if words else LENGTH, seed=seed, rules={"temperature": TEMPERATURE}
    )
    engine = NumpyEngine(model.config, model.weights)
    written = generate(engine, model.tokenizer, settings, opening.prime)
    return (opening.shown + "".join(written)).strip()


def written_sentences(model: Artifact, seed: int, number: int) -> str:
    """Sentences at points drawn from the prior of a sentence VAE, one a line."""
    engine = SentenceVAEEngine(model.config, model.weights, tokens=0)
    points = draw_latents(seed, SENTENCES, engine.latent_size)
    settings = GenerationSettings(
        length=(LatentSettings.of(model.config).longest_sentence or 0) + 1,
        seed=seed,
        rules={"temperature": TEMPERATURE},
    )
    return "\n".join(decode(engine, model.tokenizer, points, settings))
