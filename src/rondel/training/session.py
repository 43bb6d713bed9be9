"""The interface between the training loop and a training of any kind.

`rondel.training.run.Run` is the session that trains a model on a text; another task is another
session (docs/sequence-tasks.md has one).
"""

from __future__ import annotations

import errno
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from rondel.data.batches import Batch, Cursor
from rondel.errors import NonFiniteLossError
from rondel.settings import RunConfig
from rondel.training.learner import Learner
from rondel.training.progress import Progress
from rondel.training.ranks import Ranks

SECONDS_BETWEEN_SAVES = 30.0
LEAST_SECONDS_BETWEEN_VALIDATIONS = 1.0
NOBODY_READS = (errno.EPIPE, errno.EIO)
# The most of its time that a run which validates by the clock spends on validation.
VALIDATION_SHARE = 1 / 20


class Session(ABC):
    """What the loop and the callbacks share: a learner, its progress, and when to stop.

    ::

        with closing(Run(…)) as session:      # or a subclass for another task
            session.callbacks = [ConsoleProgress(console)]
            fit(session)
    """

    def __init__(self, config: RunConfig, learner: Learner, progress: Progress) -> None:
        self.config, self.learner, self.progress = config, learner, progress
        self.ranks = Ranks()
        # `Callback`s for this class of session.
        self.callbacks: Sequence[Any] = ()
        self._saved_at = self._validated_at = progress.seconds
        self._validation_cost = 0.0

    @abstractmethod
    def batches(self) -> Iterator[tuple[Batch, Cursor]]:
        """Yield batches without end, from the current cursor on, each with the cursor after it."""

    @abstractmethod
    def validation_loss(self) -> float | None:
        """Return the validation loss; `None` if there is nothing to validate on."""

    @abstractmethod
    def save_best(self) -> None:
        """Save the current model as the best so far."""

    @abstractmethod
    def write(self) -> None:
        """Save all that is needed to continue."""

    @abstractmethod
    def not_finite(self, what: str) -> NonFiniteLossError:
        """Return the error to raise for `what`, which says what is not finite."""

    def validate(self) -> None:
        """Validate the model, save it if it is the best so far, notify the callbacks, and save."""
        progress = self.progress
        before = progress.read_clock()
        val_loss = self.validation_loss()
        if val_loss is not None and not math.isfinite(val_loss):
            raise self.not_finite(f"step {progress.step}: the validation loss is {val_loss}")
        self._validated_at = progress.read_clock()
        self._validation_cost = self._validated_at - before
        is_best = progress.close_interval(val_loss, self.config.training)
        if is_best:
            self.save_best()
        # Before the save: if the process is killed in between, the callbacks are notified again.
        self.notify("validated", is_best)
        self.save()

    def save_interrupted(self) -> None:
        """Save after an interrupt."""
        self.save()

    def save(self) -> None:
        """Save all that is needed to continue, and record the time."""
        self.write()
        self._saved_at = self.progress.read_clock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Start the callbacks, and close them however the block ends."""
        with ExitStack() as opened:
            for callback in self.callbacks:
                callback.started(self)
                opened.push(partial(self._close, callback))
            yield

    def _close(self, callback: Any, kind: Any, error: BaseException | None, _: Any) -> None:
        # On a full disk most callbacks also fail to close; the first error is the one to report.
        with suppress(OSError) if error else nullcontext():
            callback.closed(self)

    def notify(self, event: str, *details: Any) -> None:
        """Call every callback's method of this name.

        What a callback raises ends the training. If the terminal or the pipe that it writes to was
        closed, the training is saved first.
        """
        for callback in self.callbacks:
            try:
                getattr(callback, event)(self, *details)
            except (OSError, SystemExit) as error:
                # Rich makes a SystemExit of a broken pipe.
                if isinstance(error, SystemExit) or error.errno in NOBODY_READS:
                    if self.ranks.size > 1:
                        # All processes save once the signal is shared, at the next step.
                        self.ranks.received, self.callbacks = "hung up", ()
                        return
                    self.save()
                raise

    def reason_to_stop(self) -> str:
        """Return why the run is over, in words; empty if it is not."""
        settings = self.config.training
        if self.progress.fraction(settings) >= 1:
            return "finished"
        patience = settings.early_stopping
        if patience is not None and self.progress.without_progress >= patience:
            return "stopped early"
        return ""

    def save_is_due(self) -> bool:
        """Return whether to save, by the clock; saving does not change the training."""
        return self.progress.seconds - self._saved_at > SECONDS_BETWEEN_SAVES

    def validation_is_due(self) -> bool:
        """Return whether to validate: every `eval_every` steps, or by the clock at a low cost."""
        settings, progress = self.config.training, self.progress
        if settings.eval_every is not None:
            return progress.step % settings.eval_every == 0
        interval = max(
            LEAST_SECONDS_BETWEEN_VALIDATIONS,
            60 * (settings.minutes or 0.0) * VALIDATION_SHARE,
            self._validation_cost / VALIDATION_SHARE,
        )
        return progress.seconds - self._validated_at >= interval
