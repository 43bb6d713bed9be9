"""The base class of callbacks, and the events of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rondel.training.learner import StepResult
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console


class Callback:
    """Listens to a run. Override the events of interest; a callback must not change the training.

    ::

        class Loss(rondel.Callback):
            def validated(self, run, is_best):
                print(run.progress.step, run.progress.val_loss)

        rondel.train("book.txt", callbacks=[Loss()])
    """

    shows: ClassVar[bool] = False
    """Whether it writes to the terminal. Such callbacks are called last: if the terminal is closed,
    the others have recorded the event already."""

    @classmethod
    def standard(cls, console: Console | None) -> Callback | None:
        """Return the instance that every run has, or None for a callback that must be requested.

        `console` is where the run is shown, or None.
        """
        return None

    def started(self, run: Run) -> None:
        """The run begins or is resumed."""

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """A training step was made."""

    def validated(self, run: Run, is_best: bool) -> None:
        """The model was validated: see `run.progress`. It is saved after this call."""

    def moving(self, run: Run) -> None:
        """The run's folder is about to be renamed: close files in it; `run.folder` will change."""

    def closed(self, run: Run) -> None:
        """The run is over, in order or by an error: close files and restore the terminal."""
