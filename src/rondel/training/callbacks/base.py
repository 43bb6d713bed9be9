"""The events of a run."""

from __future__ import annotations

from rondel.training.learner import StepResult
from rondel.training.run import Run


class Callback:
    """Listens to a run. Override the events of interest; none may change what is learnt."""

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
