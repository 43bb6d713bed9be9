"""A run: one training of one model, in one folder, from its first step to its last.

::

    RUN/                 a whole model folder (the latest state), and besides
      run.toml           every setting, for people
      resume.safetensors everything it takes to go on to the same bits
      tokens/            the splits of the text, as tokens
      best/              a whole model folder: the best state by validation
      metrics.jsonl, tensorboard/, loss.png
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rondel import artifact
from rondel.artifact import Artifact
from rondel.config import RunConfig
from rondel.data.batches import Batch, Cursor, stream_batches
from rondel.data.store import TokenStore
from rondel.errors import NonFiniteLossError
from rondel.text.tokenizers import Tokenizer
from rondel.training.learner import Learner
from rondel.training.progress import Progress
from rondel.training.snapshots import write_snapshot

if TYPE_CHECKING:
    from rondel.training.callbacks import Callback

BEST, SETTINGS, TOKENS, RESUME = "best", "run.toml", "tokens", "resume.safetensors"
# What a resumed run may change: when it stops, where it runs, and what it shows.
CHANGEABLE = (
    "epochs",
    "steps",
    "minutes",
    "early_stopping",
    "eval_every",
    "sample_every",
    "device",
    "threads",
)
SECONDS_BETWEEN_SAVES = 30.0
LEAST_SECONDS_BETWEEN_VALIDATIONS = 1.0
# A run by the clock spends at most one second in twenty on validation.
VALIDATION_SHARE = 1 / 20


class Run:
    """What the loop and its callbacks share. Made by `rondel.training.start`."""

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        tokenizer: Tokenizer,
        excerpts: tuple[str, ...],
        store: TokenStore,
        learner: Learner,
        progress: Progress,
    ) -> None:
        self.folder, self.config, self.store = folder, config, store
        self.tokenizer, self.excerpts = tokenizer, excerpts
        self.learner, self.progress = learner, progress
        self.callbacks: Sequence[Callback] = ()
        self.notes: list[str] = []
        self.saved_step = progress.step
        self._saved_at = self._validated_at = progress.seconds
        self._validation_cost = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Open the callbacks, and close them however the block ends."""
        with ExitStack() as opened:
            for callback in self.callbacks:
                callback.started(self)
                opened.push(partial(self._close, callback))
            yield

    def _close(self, callback: Callback, kind: Any, error: BaseException | None, _: Any) -> None:
        # On a full disk most callbacks fail to close too; the first error is the one to tell.
        with suppress(OSError) if error else nullcontext():
            callback.closed(self)

    def batches(self) -> Iterator[tuple[Batch, Cursor]]:
        """Endless batches from where the run stands, each with the cursor of the one after it."""
        settings, tokens = self.config.training, self.store.tokens("train")
        assert settings.batch_size is not None
        leftward = settings.batch_size // 2 if self.config.model.is_bidirectional else 0
        return stream_batches(
            tokens, settings.batch_size, settings.seq_length, self.progress.cursor, leftward
        )

    def tell(self, event: str, *details: Any) -> None:
        """Call every callback's method of this name."""
        for callback in self.callbacks:
            getattr(callback, event)(self, *details)

    def reason_to_stop(self) -> str:
        """Why the run is over, in words; empty while it is not."""
        settings = self.config.training
        if self.progress.fraction(settings) >= 1:
            return "finished"
        patience = settings.early_stopping
        if patience is not None and self.progress.without_progress >= patience:
            return "stopped early"
        return ""

    def save_is_due(self) -> bool:
        """By the clock; it changes nothing of what is learnt."""
        return self.progress.seconds - self._saved_at > SECONDS_BETWEEN_SAVES

    def validation_is_due(self) -> bool:
        """Every `eval_every` steps, or by the clock: so often that it costs little."""
        settings, progress = self.config.training, self.progress
        if settings.eval_every is not None:
            return progress.step % settings.eval_every == 0
        assert settings.minutes is not None
        interval = max(
            LEAST_SECONDS_BETWEEN_VALIDATIONS,
            60 * settings.minutes * VALIDATION_SHARE,
            self._validation_cost / VALIDATION_SHARE,
        )
        return progress.seconds - self._validated_at >= interval

    def validate(self) -> None:
        """Measure the model, keep it if it is the best so far, tell the callbacks, and save."""
        progress = self.progress
        before, val_loss = progress.read_clock(), None
        if self.store.splits["validation"].tokens:
            val_loss = self.learner.validate(self.store.tokens("validation"))
            if not math.isfinite(val_loss):
                raise self.not_finite(f"step {progress.step}: the validation loss is {val_loss}")
        self._validated_at = progress.read_clock()
        self._validation_cost = self._validated_at - before
        is_best = progress.close_interval(val_loss, self.config.training)
        if is_best:
            self._save_best()
        # Told before the save: what a killed process told and did not save is told again.
        self.tell("validated", is_best)
        self.save()

    def model(self) -> Artifact:
        """The model as it stands; `NonFiniteLossError` if its weights are not all numbers."""
        weights = self.learner.weights()
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise self.not_finite(f"step {self.progress.step}: {name} is not finite")
        return Artifact(
            self.config.model, self.tokenizer, weights, self.progress.summary(), self.excerpts
        )

    def not_finite(self, what: str) -> NonFiniteLossError:
        """What to raise instead of saving a model that is ruined."""
        clip = "a lower --clip-norm" if self.config.training.clip_norm else "--clip-norm 1"
        return NonFiniteLossError(
            f"{what}; {self.folder} holds the last good state, of step {self.saved_step}. "
            f"Try a lower --learning-rate or {clip}"
        )

    def save(self) -> None:
        """Save the latest state; the model folder and what a resume takes, each in one move."""
        # The snapshot last: a process killed between the two makes the later one again.
        artifact.write_weights(self.folder, self.model())
        values = {**self.progress.to_json(), "settings": settled(self.config)}
        write_snapshot(self.folder / RESUME, self.learner.snapshot(), values)
        self.saved_step, self._saved_at = self.progress.step, self.progress.read_clock()

    def _save_best(self) -> None:
        best = self.folder / BEST
        if best.exists():
            artifact.write_weights(best, self.model())
        else:
            artifact.save(best, self.model())


def settled(config: RunConfig) -> dict[str, Any]:
    """The settings of text and training that a run keeps from its beginning to its end."""
    settings = {**dataclasses.asdict(config.text), **dataclasses.asdict(config.training)}
    return {name: value for name, value in settings.items() if name not in CHANGEABLE}


def best_folder(folder: Path) -> Path:
    """Where the best model of a run lies: in `best/`, or the run itself before any validation."""
    best = folder / BEST
    return best if artifact.is_model(best) else folder
