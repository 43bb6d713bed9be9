"""`loss.png`: the run's losses as a picture."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondel.errors import require
from rondel.files import write_atomically
from rondel.kinds import Kind, kind_of
from rondel.training.callbacks import Callback, callbacks
from rondel.training.callbacks.metrics_file import METRICS, read_metrics
from rondel.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

PICTURE = "loss.png"
TRAINING, VALIDATION, COUNT = "#7a869a", "#b3261e", "#7a869a"
BESIDE_LOSS, BELOW_LOSS = ("#1f6f5c", "#b3261e"), ("#b0501c", "#3b6fb6")
"""Colours of the figures that a kind of model has drawn with the loss and below it, in turn."""


@callbacks.register("plot")
class LossPlot(Callback):
    """Draws training and validation loss over steps when the run ends."""

    @classmethod
    def standard(cls, console: Console | None) -> LossPlot | None:
        """See `Callback.standard`."""
        return cls() if find_spec("matplotlib") else None

    def closed(self, run: Run) -> None:
        """Draw the rows of `metrics.jsonl`."""
        rows = read_metrics(run.folder / METRICS)
        if rows:
            name, token = _printable(run.home.path), run.tokenizer.token_noun
            title = f"{name}: {run.config.model.cell}, {token} level"
            picture = draw_losses(rows, title, kind_of(run.config.model), token)
            write_atomically(run.folder / PICTURE, picture)


def _printable(path: Path) -> str:
    """Return a folder's name for display: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def draw_losses(rows: list[dict[str, Any]], title: str, kind: Kind, token_noun: str) -> bytes:
    """Draw the rows of a metrics file as a PNG: the losses, and the figures that the kind names."""
    below = (*kind.drawn_below, *kind.drawn_counts)
    complete = [row for row in rows if below and all(row.get(name) is not None for name in below)]
    # Figure alone, without pyplot: no window system, and no state shared with the user's plots.
    figure = require("matplotlib.figure", "train").Figure(
        figsize=(8, 7.5 if complete else 4.5), layout="constrained"
    )
    panels = figure.subplots(2 if complete else 1, sharex=True, squeeze=False)[:, 0]
    unit = f"nats per {kind.loss_unit(token_noun)}"
    _draw_losses(panels[0], rows, kind.drawn_with_loss)
    panels[0].set(ylabel=f"{kind.loss_name} ({unit})")
    panels[0].set_title(title, parse_math=False)  # a run's name may have a dollar in it
    if complete:
        _draw_lines(panels[1], complete, kind.drawn_below, BELOW_LOSS, linewidth=1.6)
        panels[1].set(ylabel=unit, ylim=(0, None))
        _draw_counts(panels[1], complete, kind.drawn_counts)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    # At fixed places: matplotlib warns of a search for the best one when the machine is slow.
    panels[0].legend(frameon=False, loc="upper right")
    panels[-1].set(xlabel="step")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=150)
    return picture.getvalue()


def _draw_losses(axes: Any, rows: list[dict[str, Any]], others: Mapping[str, str]) -> None:
    """Draw training and validation loss, and other figures in their unit."""
    axes.plot(
        [row["step"] for row in rows],
        [row["train_loss"] for row in rows],
        color=TRAINING,
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
        color=VALIDATION,
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
        color=VALIDATION,
    )
    _draw_lines(axes, validated, others, BESIDE_LOSS, linestyle="--", linewidth=1.2)


def _draw_lines(
    axes: Any,
    rows: list[dict[str, Any]],
    labels: Mapping[str, str],
    colours: Sequence[str],
    **style: Any,
) -> None:
    """Draw each figure, by name, that all of the rows have."""
    for (name, label), colour in zip(labels.items(), itertools.cycle(colours)):
        if all(row.get(name) is not None for row in rows):
            steps, values = ([row[key] for row in rows] for key in ("step", name))
            axes.plot(steps, values, color=colour, label=label, **style)


def _draw_counts(axes: Any, rows: list[dict[str, Any]], labels: Mapping[str, str]) -> None:
    """Draw counts on an axis at the right, and the panel's legend."""
    lines = axes.get_lines()
    if labels:
        right = axes.twinx()
        _draw_lines(right, rows, labels, (COUNT,), linestyle=":")
        right.set(ylabel=", ".join(labels.values()), ylim=(0, None))
        right.spines[["top"]].set_visible(False)
        lines = [*lines, *right.get_lines()]
    axes.legend(lines, [line.get_label() for line in lines], frameon=False, loc="upper left")
