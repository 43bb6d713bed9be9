"""The progress of a run: counted here, saved with the run, shown by the callbacks."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass, field
from typing import Any

from rondel.data.batches import Batch, Cursor
from rondel.folder_files import from_values, is_count
from rondel.settings import TrainingConfig
from rondel.training.learner import StepResult
from rondel.training.ranks import Ranks
from rondel.training.schedules import Standing, build_schedule


@dataclass
class Progress:
    """Steps, passes, tokens and seconds so far; losses in nats per token.

    `train_loss` is the mean since the last validation, or the point where one would have been.

    >>> Progress(steps_per_epoch=200, step=100).epoch
    0.5
    """

    steps_per_epoch: int
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cursor: Cursor = field(default_factory=Cursor)
    train_loss: float | None = None
    val_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    without_progress: int = 0
    decays: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    _ranks: Ranks | None = field(default=None, repr=False)

    def start_clock(self, ranks: Ranks | None = None) -> None:
        """Continue counting seconds from `seconds`, by the clock that the processes share."""
        self._ranks = ranks or Ranks()
        self._ranks.start_clock(self.seconds)

    def read_clock(self) -> float:
        """Update `seconds` and return it."""
        if self._ranks is not None:
            self.seconds = self._ranks.seconds()
        return self.seconds

    @property
    def epoch(self) -> float:
        """Passes over the text so far."""
        return self.step / self.steps_per_epoch

    def count(self, batch: Batch, cursor: Cursor, result: StepResult) -> None:
        """Record one step."""
        self.step += 1
        self.tokens += batch.inputs.size
        self.cursor = cursor
        self.loss_sum += result.loss
        self.loss_count += 1
        self.read_clock()

    def close_interval(self, val_loss: float | None, config: TrainingConfig) -> bool:
        """Record a validation; return whether it is the best so far.

        Without a validation text (`val_loss` is `None`), the training loss counts.
        """
        self.train_loss = self.loss_sum / self.loss_count
        self.loss_sum, self.loss_count = 0.0, 0
        self.val_loss = val_loss
        loss = self.train_loss if val_loss is None else val_loss
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step, self.without_progress = loss, self.step, 0
            return True
        self.without_progress += 1
        patience = build_schedule(config).plateau_patience
        if patience is not None and self.without_progress % patience == 0:
            self.decays += 1
        return False

    def fraction(self, config: TrainingConfig) -> float:
        """Return how much of the run is done, by the nearest limit: 0 to 1."""
        parts = [0.0]
        if config.steps is not None:
            parts.append(self.step / config.steps)
        if config.epochs is not None:
            parts.append(self.epoch / config.epochs)
        if config.minutes is not None:
            parts.append(self.seconds / (60 * config.minutes))
        return min(1.0, max(parts))

    def standing(self, config: TrainingConfig) -> Standing:
        """Return what the schedule depends on."""
        return Standing(self.fraction(config), self.epoch, self.decays)

    def summary(self) -> dict[str, Any]:
        """Return the figures that are saved in a model folder."""
        return {
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            "train_loss": self.train_loss,
            "val_loss": self.val_loss,
        }

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        values = asdict(dataclasses.replace(self, _ranks=None))
        del values["_ranks"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Progress:
        """The inverse of `to_json`; `ValueError` if the values are not those of a run."""
        values = dict(values)
        cursor = values.pop("cursor", None)
        if not (isinstance(cursor, list) and len(cursor) == 2 and all(map(is_count, cursor))):
            raise ValueError(f"cursor is {cursor!r}")
        progress = from_values(cls, values, besides=("cursor", "_ranks"))
        progress.cursor = Cursor(*cursor)
        if not progress.cursor.chunk < progress.steps_per_epoch:
            raise ValueError(f"its cursor is {cursor}, of {progress.steps_per_epoch} steps")
        return progress
