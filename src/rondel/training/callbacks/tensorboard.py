"""The run's figures for TensorBoard."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rondel.errors import require
from rondel.training.callbacks import Callback, callbacks
from rondel.training.learner import StepResult
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

FOLDER = "tensorboard"


@callbacks.register("tensorboard")
class TensorBoard(Callback):
    """Writes every loss term, the learning rate and the validation loss as scalars."""

    def __init__(self) -> None:
        self._writer: Any = None
        self._usable = True

    @classmethod
    def standard(cls, console: Console | None) -> TensorBoard | None:
        """See `Callback.standard`."""
        return cls() if find_spec("tensorboard") else None

    def started(self, run: Run) -> None:
        """Warn if nothing can be written: TensorBoard needs a folder whose name is UTF-8."""
        try:
            str(run.folder).encode()
        except UnicodeEncodeError:
            self._usable = False
            warnings.warn(
                "there will be no curves for TensorBoard, which cannot open a folder whose name "
                "is not UTF-8",
                stacklevel=2,
            )

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """Write the training scalars, every tenth step."""
        step = run.progress.step
        if self._usable and step % 10 == 0:
            writer = self._open(run)
            for name, value in result.terms.items():
                writer.add_scalar(f"train/{name}", value, step)
            writer.add_scalar("train/gradient_norm", result.gradient_norm, step)
            writer.add_scalar("learning_rate", learning_rate, step)

    def validated(self, run: Run, is_best: bool) -> None:
        """Write the validation loss and the other figures of the validation."""
        if self._usable and run.progress.val_loss is not None:
            writer = self._open(run)
            writer.add_scalar("validation/loss", run.progress.val_loss, run.progress.step)
            for name, value in run.figures.items():
                writer.add_scalar(f"validation/{name}", value, run.progress.step)
            writer.flush()

    def moving(self, run: Run) -> None:
        """Close the event file; the next scalar opens a new one in the same folder."""
        self.closed(run)

    def closed(self, run: Run) -> None:
        """Close the event file."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _open(self, run: Run) -> Any:
        """Return the writer of the event file, which is opened for the first scalar."""
        if self._writer is None:
            summary = require("tensorboard.summary", "train")
            self._writer = summary.Writer(str(run.folder / FOLDER))
        return self._writer
