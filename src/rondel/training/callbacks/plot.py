"""`loss.png`: the run's curve as a picture."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondel.errors import require
from rondel.files import write_atomically
from rondel.kinds import kind_of
from rondel.training.callbacks import Callback, callbacks
from rondel.training.callbacks.metrics_file import METRICS, read_metrics
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

PICTURE = "loss.png"
OF_A_SPACE = ("kl", "mutual_information", "active_units")


@callbacks.register("plot")
class LossPlot(Callback):
    """Draws training and validation loss over steps when the run ends."""

    @classmethod
    def standard(cls, console: Console | None) -> LossPlot | None:
        """See `Callback.standard`."""
        return cls() if find_spec("matplotlib") else None

    def closed(self, run: Run) -> None:
        """Draw what `metrics.jsonl` holds."""
        rows = read_metrics(run.folder / METRICS)
        if rows:
            name, token = _printable(run.home.path), run.tokenizer.token_noun
            title = f"{name}: {run.config.model.cell}, {token} level"
            kind = kind_of(run.config.model)
            label = f"{kind.loss_name} (nats per {kind.loss_unit(token)})"
            write_atomically(run.folder / PICTURE, draw_losses(rows, title, label))


def _printable(path: Path) -> str:
    """A folder's name as fonts have it: bytes that are no UTF-8 as U+FFFD."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def draw_losses(rows: list[dict[str, Any]], title: str, label: str) -> bytes:
    """A PNG of the losses in `rows` of a metrics file, and of what a latent space holds by then."""
    latent = [row for row in rows if all(row.get(name) is not None for name in OF_A_SPACE)]
    # Figure alone, without pyplot: no window system, and no state shared with the user's plots.
    figure = require("matplotlib.figure", "train").Figure(
        figsize=(8, 7.5 if latent else 4.5), layout="constrained"
    )
    panels = figure.subplots(2 if latent else 1, sharex=True, squeeze=False)[:, 0]
    _draw_curves(panels[0], rows)
    panels[0].set(ylabel=label)
    panels[0].set_title(title, parse_math=False)  # a run's name may have a dollar in it
    if latent:
        _draw_latent(panels[0], panels[1], latent)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    # At fixed places: matplotlib warns of a search for the best one when the machine is slow.
    panels[0].legend(frameon=False, loc="upper right")
    panels[-1].set(xlabel="step")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    return picture.getvalue()


def _draw_curves(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Training and validation loss."""
    axes.plot(
        [row["step"] for row in rows],
        [row["train_loss"] for row in rows],
        color="#7a869a",
        linewidth=1.2,
        label="training",
    )
    validated = [row for row in rows if row["val_loss"] is not None]
    if not validated:
        return
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


def _draw_latent(losses: Any, axes: Any, rows: list[dict[str, Any]]) -> None:
    """The parts of the ELBO and the closer bound; and what the space holds."""
    steps = [row["step"] for row in rows]
    for name, colour, told in (
        ("nll", "#1f6f5c", "reconstruction"),
        ("iw_nll", "#b3261e", "importance-weighted"),
    ):
        if all(row.get(name) is not None for row in rows):
            values = [row[name] for row in rows]
            losses.plot(steps, values, color=colour, linestyle="--", linewidth=1.2, label=told)
    for name, colour, told in (
        ("kl", "#b0501c", "KL"),
        ("mutual_information", "#3b6fb6", "mutual information"),
    ):
        axes.plot(steps, [row[name] for row in rows], color=colour, linewidth=1.6, label=told)
    axes.set(ylabel="nats per sentence", ylim=(0, None))
    units = axes.twinx()
    units.plot(
        steps, [row["active_units"] for row in rows], color="#7a869a", linestyle=":",
        label="active units",
    )  # fmt: skip
    units.set(ylabel="active units", ylim=(0, None))
    units.spines[["top"]].set_visible(False)
    lines = [*axes.get_lines(), *units.get_lines()]
    axes.legend(lines, [line.get_label() for line in lines], frameon=False, loc="upper left")
