"""A run: one training of one model, in one folder, from its first step to its last.

::

    RUN/                 a whole model folder (the latest state), and besides
      run.toml           every setting, for people
      resume.safetensors all that is needed to continue bit-identically
      tokens/            the splits of the text, as tokens
      best/              a whole model folder: the best state by validation
      metrics.jsonl, tensorboard/, loss.png
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rondel import artifact
from rondel.artifact import Artifact
from rondel.data.batches import Batch, Cursor
from rondel.data.document_batches import document_batches
from rondel.data.documents import Documents
from rondel.data.store import TokenStore
from rondel.errors import NonFiniteLossError
from rondel.files import new_folder
from rondel.kinds import kind_of
from rondel.settings import RunConfig
from rondel.text.tokenizers import Tokenizer
from rondel.training.folder import RunFolder
from rondel.training.learner import DocumentLearner, Learner
from rondel.training.progress import Progress
from rondel.training.ranks import launch
from rondel.training.session import Session
from rondel.training.snapshots import write_snapshot

if TYPE_CHECKING:
    from rondel.training.distributed import ProcessGroup

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
    "exchange",
    "full_steps",
    "powersgd_rank",
    "local_steps",
)


class Run(Session):
    """A session whose model, text and progress are in a folder; `rondel.training.start` makes it.

    It has that folder's lock until it is closed, which `fit` does at its end.
    """

    def __init__(
        self,
        home: RunFolder,
        config: RunConfig,
        tokenizer: Tokenizer,
        excerpts: tuple[str, ...],
        store: TokenStore,
        learner: Learner,
        progress: Progress,
    ) -> None:
        super().__init__(config, learner, progress)
        self.home, self.store = home, store
        self.tokenizer, self.excerpts = tokenizer, excerpts
        self.notes: list[str] = []
        self.figures: dict[str, float] = {}
        """Other figures of the last validation, by name."""
        self.saved_step = progress.step

    @property
    def folder(self) -> Path:
        """Where its files are now: with `--overwrite`, not at `home.path` before the first save."""
        return self.home.place

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See `Session.watched`; then the run is closed."""
        try:
            with super().watched():
                yield
        finally:
            self.close()

    def take_part(self, ranks: ProcessGroup) -> None:
        """Divide the training among processes, each of which has this run."""
        self.ranks = ranks
        self.learner.join(ranks)

    def close(self) -> None:
        """Release the folder."""
        self.home.close()

    def batches(self) -> Iterator[tuple[Batch, Cursor]]:
        """Yield batches without end from the run's cursor on, each with the cursor after it."""
        documents, training = Documents.of(self.store, "train"), self.config.training
        if documents is not None:
            seed = training.seed if training.shuffle_documents else None
            return document_batches(
                documents, training.batch_size, training.seq_length, self.progress.cursor, seed
            )
        batches: Iterator[tuple[Batch, Cursor]] = kind_of(self.config.model).batches(
            self.store.tokens("train"), self.tokenizer, self.config.training, self.progress.cursor
        )
        return batches

    def validation_loss(self) -> float | None:
        """Return the loss on the validation split; `None` if it is empty."""
        if not self.store.splits["validation"].tokens:
            return None
        documents = Documents.of(self.store, "validation")
        if documents is not None:
            assert isinstance(self.learner, DocumentLearner), "the settings would have refused it"
            loss = self.learner.validate_documents(documents)
        else:
            loss = self.learner.validate(self.store.tokens("validation"))
        self.figures = self.learner.figures
        return loss

    def model(self) -> Artifact:
        """Return the current model; `NonFiniteLossError` if a weight is not finite."""
        weights = self.learner.weights()
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise self.not_finite(f"step {self.progress.step}: {name} is not finite")
        return Artifact(
            self.config.model, self.tokenizer, weights, self.progress.summary(), self.excerpts
        )

    def not_finite(self, what: str) -> NonFiniteLossError:
        """Return the error to raise instead of saving a broken model."""
        kept = f"{self.folder} holds the last good state, of step {self.saved_step}"
        if not self.home.is_published:
            kept = f"{self.home.path} holds the model that it held before"
        clip = "a lower --clip-norm" if self.config.training.clip_norm else "--clip-norm 1"
        error = NonFiniteLossError(f"{what}; {kept}. Try a lower --learning-rate or {clip}")
        error.is_reported = not self.ranks.is_first
        return error

    def write(self) -> None:
        """Save the latest model, and the snapshot for resuming; each is replaced in one move."""
        model, snapshot = self.model(), self.learner.snapshot()
        with self.ranks.led():
            if self.ranks.is_first:
                # The snapshot last: a run killed between the two repeats the steps since the one
                # before.
                artifact.write_weights(self.folder, model)
                values = snapshot_values(self.config, self.progress)
                write_snapshot(self.folder / RESUME, snapshot, values)
            self.saved_step = self.progress.step
            if not self.home.is_published:
                self.notify("moving")
                self.home.publish()
                self.store = dataclasses.replace(self.store, folder=self.folder / TOKENS)

    def save_interrupted(self) -> None:
        """See `Session`; before its first save, a run is dropped and the old model stays."""
        if self.home.is_published:
            self.save()

    def save_best(self) -> None:
        """See `Session.save_best`: the model is saved in `best/`."""
        model, best = self.model(), self.folder / BEST
        with self.ranks.led():
            if not self.ranks.is_first:
                return
            if best.exists():
                artifact.write_weights(best, model)
            else:
                with new_folder(best) as draft:
                    artifact.write_parts(draft, model)


def snapshot_values(config: RunConfig, progress: Progress) -> dict[str, Any]:
    """Return what a snapshot records of its run, besides the learner's state."""
    values = {**progress.to_json(), "settings": settled(config)}
    return {**values, "launch": launch()} if launch() else values


def settled(config: RunConfig) -> dict[str, Any]:
    """Return the settings of text and training that never change during a run."""
    settings = {**config.text.flat(), **config.training.flat()}
    return {name: value for name, value in settings.items() if name not in CHANGEABLE}


def best_folder(folder: Path) -> Path:
    """Return the folder of a run's best model: `best/`, or before any validation the run's."""
    best = folder / BEST
    return best if artifact.is_model(best) else folder
