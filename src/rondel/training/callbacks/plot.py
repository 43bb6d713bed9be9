"""`loss.png`: the run's curve as a picture."""

from __future__ import annotations

import io
from typing import Any

from rondel.errors import require
from rondel.files import write_atomically
from rondel.training.callbacks.base import Callback
from rondel.training.callbacks.metrics import METRICS, read_metrics
from rondel.training.run import Run

PICTURE = "loss.png"


class LossPlot(Callback):
    """Draws training and validation loss over steps when the run ends."""

    def closed(self, run: Run) -> None:
        """Draw what `metrics.jsonl` holds."""
        rows = read_metrics(run.folder / METRICS)
        if rows:
            title = f"{run.folder.name}: {run.config.model.cell}, {run.tokenizer.token_noun} level"
            unit = f"nats per {run.config.model.loss_unit(run.tokenizer.token_noun)}"
            name = run.config.model.loss_name
            write_atomically(run.folder / PICTURE, draw_losses(rows, title, f"{name} ({unit})"))


def draw_losses(rows: list[dict[str, Any]], title: str, label: str) -> bytes:
    """A PNG of the losses in `rows` of a metrics file."""
    # Figure alone, without pyplot: no window system, and no state shared with the user's plots.
    figure = require("matplotlib.figure", "train").Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [row["step"] for row in rows],
        [row["train_loss"] for row in rows],
        color="#7a869a",
        linewidth=1.2,
        label="training",
    )
    validated = [row for row in rows if row["val_loss"] is not None]
    if validated:
        best = min(validated, key=lambda row: row["val_loss"])
        axes.plot(
            [row["step"] for row in validated],
            [row["val_loss"] for row in validated],
            color="#b3261e",
            marker="o",
            markersize=3,
            label="validation",
        )
        axes.annotate(
            f"best {best['val_loss']:.3f}",
            (best["step"], best["val_loss"]),
            xytext=(0, 12),
            textcoords="offset points",
            ha="right",
            color="#b3261e",
        )
    axes.set(xlabel="step", ylabel=label)
    axes.set_title(title, parse_math=False)  # a run's name may have a dollar in it
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    return picture.getvalue()
