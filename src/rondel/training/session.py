"""What the loop asks of a training, whatever it is that learns.

`rondel.training.run.Run` is the session that trains a language model on a text; a task of another
kind is another session (docs/sequence-tasks.md has one).
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
# A training by the clock spends at most one second in twenty on validation.
VALIDATION_SHARE = 1 / 20


class Session(ABC):
    """What the loop and its callbacks share: a learner, how far it has come, when it is to stop.

    ::

        with closing(Run(…)) as session:      # or a subclass for another task
            session.callbacks = [ConsoleProgress(console)]
            fit(session)
    """

    def __init__(self, config: RunConfig, learner: Learner, progress: Progress) -> None:
        self.config, self.learner, self.progress = config, learner, progress
        self.ranks = Ranks()
        # Each a `Callback` that knows which kind of session it watches.
        self.callbacks: Sequence[Any] = ()
        self._saved_at = self._validated_at = progress.seconds
        self._validation_cost = 0.0

    @abstractmethod
    def batches(self) -> Iterator[tuple[Batch, Cursor]]:
        """Endless batches from where the training stands, each with the cursor of the next."""

    @abstractmethod
    def validation_loss(self) -> float | None:
        """The loss that a model is judged by; `None` if there is nothing to measure it on."""

    @abstractmethod
    def save_best(self) -> None:
        """Keep the model as it stands, as the best so far."""

    @abstractmethod
    def write(self) -> None:
        """Save what it takes to go on."""

    @abstractmethod
    def not_finite(self, what: str) -> NonFiniteLossError:
        """What to raise when `what` happened: something is no number any more."""

    def validate(self) -> None:
        """Measure the model, keep it if it is the best so far, tell the callbacks, and save."""
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
        # Told before the save: what a killed process told and did not save is told again.
        self.tell("validated", is_best)
        self.save()

    def save_interrupted(self) -> None:
        """Save what there is, as the training is told to stop."""
        self.save()

    def save(self) -> None:
        """Save what it takes to go on, and note when."""
        self.write()
        self._saved_at = self.progress.read_clock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Open the callbacks, and close them however the block ends."""
        with ExitStack() as opened:
            for callback in self.callbacks:
                callback.started(self)
                opened.push(partial(self._close, callback))
            yield

    def _close(self, callback: Any, kind: Any, error: BaseException | None, _: Any) -> None:
        # On a full disk most callbacks fail to close too; the first error is the one to tell.
        with suppress(OSError) if error else nullcontext():
            callback.closed(self)

    def tell(self, event: str, *details: Any) -> None:
        """Call every callback's method of this name.

        What a callback raises ends the training. If that is a terminal which is gone, or a pipe
        that nobody reads any more, what was learnt is saved before.
        """
        for callback in self.callbacks:
            try:
                getattr(callback, event)(self, *details)
            except (OSError, SystemExit) as error:
                # Rich makes a SystemExit of a broken pipe.
                if isinstance(error, SystemExit) or error.errno in NOBODY_READS:
                    if self.ranks.size > 1:
                        # The others save with it, once they have heard.
                        self.ranks.received, self.callbacks = "hung up", ()
                        return
                    self.save()
                raise

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
        interval = max(
            LEAST_SECONDS_BETWEEN_VALIDATIONS,
            60 * (settings.minutes or 0.0) * VALIDATION_SHARE,
            self._validation_cost / VALIDATION_SHARE,
        )
        return progress.seconds - self._validated_at >= interval
