"""The events of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rondel.training.learner import StepResult
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console


class Callback:
    """Listens to a run. Override the events of interest; none may change what is learnt.

    ::

        class Loss(rondel.Callback):
            def validated(self, run, is_best):
                print(run.progress.step, run.progress.val_loss)

        rondel.train("book.txt", callbacks=[Loss()])
    """

    shows: ClassVar[bool] = False
    """Whether it shows the run to somebody. It is told of events after those that record them, as
    nobody may be there any more."""

    @classmethod
    def standard(cls, console: Console | None) -> Callback | None:
        """The one that every run has; None, as here, for one that has to be asked for.

        `console` is where the run is shown, if it is.
        """
        return None

    def started(self, run: Run) -> None:
        """The run begins, or goes on after a resume."""

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """One update was made."""

    def validated(self, run: Run, is_best: bool) -> None:
        """The model was measured: see `run.progress`. It is saved after this."""

    def moving(self, run: Run) -> None:
        """The run's folder is about to be renamed: close the files in it; see `run.folder` anew."""

    def closed(self, run: Run) -> None:
        """The run is over, whether in order or by an error: let go of files and terminals."""
