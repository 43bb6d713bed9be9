"""`metrics.jsonl`: the run's figures, one row of JSON at a time."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondel.errors import ModelFolderError
from rondel.files import write_atomically
from rondel.folder_files import is_count, is_number, parse_json
from rondel.training.callbacks import Callback, callbacks
from rondel.training.learner import StepResult
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

METRICS = "metrics.jsonl"
STEPS_A_ROW = 10


@callbacks.register("metrics")
class MetricsFile(Callback):
    """Writes step, epoch, tokens, seconds, train_loss, val_loss, learning_rate, tokens_per_second.

    There is a row for every tenth step and every validation: `train_loss` is the mean since the
    previous row; `val_loss` is null if the row is not of a validation. A validation's row also has
    the other figures that it found.
    """

    def __init__(self) -> None:
        self._learning_rate = 0.0
        self._losses: list[float] = []
        self._last = (0, 0.0)

    @classmethod
    def standard(cls, console: Console | None) -> MetricsFile:
        """See `Callback.standard`."""
        return cls()

    def started(self, run: Run) -> None:
        """Start the file; in a resumed run, drop the rows of steps that will be made again."""
        path, step = run.folder / METRICS, run.progress.step
        rows = [row for row in read_metrics(path) if row["step"] <= step]
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
        self._last = (run.progress.tokens, run.progress.seconds)

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        """Add a row every tenth step, unless a validation at this step is about to."""
        self._learning_rate = learning_rate
        self._losses.append(result.loss)
        to_validate = run.validation_is_due() or run.reason_to_stop()
        if run.progress.step % STEPS_A_ROW == 0 and not to_validate:
            self._write(run, None)

    def validated(self, run: Run, is_best: bool) -> None:
        """Add a row with the validation loss."""
        self._write(run, run.progress.val_loss)

    def _write(self, run: Run, val_loss: float | None) -> None:
        tokens, seconds = run.progress.tokens, run.progress.seconds
        # Right after another row there are no new training losses, only the validation's.
        losses = self._losses
        train_loss = sum(losses) / len(losses) if losses else run.progress.train_loss
        elapsed = max(seconds - self._last[1], 1e-9)
        row = {
            "step": run.progress.step,
            "epoch": round(run.progress.epoch, 4),
            "tokens": tokens,
            "seconds": round(seconds, 3),
            "train_loss": train_loss,
            "val_loss": val_loss,
            "learning_rate": self._learning_rate,
            "tokens_per_second": round((tokens - self._last[0]) / elapsed, 1),
            **(run.figures if val_loss is not None else {}),
        }
        with (run.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._losses, self._last = [], (tokens, seconds)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file, without invalid lines, such as one cut short."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ModelFolderError):
                row = parse_json(line, path)
                if _is_row(row):
                    rows.append(row)
    return rows


def _is_row(row: dict[str, Any]) -> bool:
    """Return whether these are the values of a row: a step, losses, and other numbers or None."""
    return (
        row.keys() >= {"step", "train_loss", "val_loss"}
        and is_count(row["step"])
        and is_number(row["train_loss"])
        and (row["val_loss"] is None or is_number(row["val_loss"]))
        # Other figures may be infinite or NaN.
        and all(v is None or type(v) is float or is_number(v) for v in row.values())
    )
