"""Draw units over a text as figures for print.

Shapes: N tokens, H units of a layer.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rondel.errors import InputError, require
from rondel.files import write_atomically
from rondel.inspection.scale import scaled
from rondel.inspection.trace import Trace, Unit

FORMATS = (".png", ".svg")
COLUMNS, LINES = 84, 14
HEAT_TOKENS = 120
COLOURS = "RdBu_r"
MONO = "DejaVu Sans Mono"


def draw_units(
    path: Path, trace: Trace, units: Sequence[Unit], captions: Sequence[str] = ()
) -> None:
    """Draw the beginning of a text once for each unit, coloured by the unit's values.

    `captions` has one for each unit. Raises `InputError` for a file that is not .png or .svg, and
    `MissingExtraError` without Matplotlib.
    """
    lines = _lines(trace)
    height = 0.45 + 0.17 * len(lines)
    figure = _figure(path, (9, height * len(units)))
    for number, (unit, axes) in enumerate(
        zip(units, figure.subplots(len(units), squeeze=False)[:, 0], strict=True)
    ):
        title = f"unit {unit}"
        if number < len(captions) and captions[number]:
            title += f": {captions[number]}"
        axes.set_title(title, loc="left", fontsize=9, parse_math=False)
        _draw_text(axes, lines, scaled(trace.values(unit)))
    _save(figure, path)


def draw_layer(path: Path, trace: Trace, layer: int, track: str = "hidden") -> None:
    """Draw a heat map of a layer's units over the beginning of a text; `layer` counts from 0.

    Units are sorted by their weight in the layer's first principal component, so that similar units
    are close.
    """
    array = trace.tracks[track]
    if not 0 <= layer < array.shape[1]:
        raise InputError(
            f"there is no layer {layer + 1}: this model has {array.shape[1]}, counted from 1"
        )
    values_NH = scaled(np.asarray(array[:HEAT_TOKENS, layer]))
    centred = values_NH - values_NH.mean(axis=0)
    order = np.argsort(np.linalg.svd(centred, full_matrices=False)[2][0])
    figure = _figure(path, (10, 5))
    axes = figure.subplots()
    image = axes.imshow(
        values_NH.T[order], cmap=COLOURS, vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
    )
    axes.set_title(f"{track} state of layer {layer + 1}", loc="left", fontsize=10)
    axes.set_ylabel("units, ordered by first principal component")
    axes.set_yticks([])
    shown = [_printable(token) for token in trace.tokens[:HEAT_TOKENS]]
    axes.set_xticks(range(len(shown)), shown, fontsize=6, family=MONO)
    axes.tick_params(axis="x", length=0, rotation=0 if max(map(len, shown)) == 1 else 90)
    figure.colorbar(image, ax=axes, shrink=0.6, pad=0.01)
    _save(figure, path)


def _figure(path: Path, size: tuple[float, float]) -> Any:
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a figure's file must end in {' or '.join(FORMATS)}")
    # Figure alone, without pyplot: no window system, and no state shared with the user's plots.
    return require("matplotlib.figure", "inspect").Figure(figsize=size, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    picture, how = io.BytesIO(), path.suffix.lower().removeprefix(".")
    with warnings.catch_warnings():
        # A character that the font lacks is drawn as a box; no warning is needed.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(picture, format=how, dpi=150)
    write_atomically(path, picture.getvalue())


def _lines(trace: Trace) -> list[list[tuple[int, str]]]:
    """The beginning of the text as lines of (token number, character)."""
    lines: list[list[tuple[int, str]]] = [[]]
    for n, token in enumerate(trace.tokens):
        for character in token:
            if len(lines[-1]) >= COLUMNS:
                lines.append([])
            lines[-1].append(
                (n, "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}" if character == "\n" else character)
            )
            if character == "\n":
                lines.append([])
            if len(lines) > LINES:
                return lines[:LINES]
    return lines


def _draw_text(axes: Any, lines: list[list[tuple[int, str]]], values_N: Any) -> None:
    grid = np.full((len(lines), max(map(len, lines))), np.nan)
    for row, line in enumerate(lines):
        for column, (n, character) in enumerate(line):
            grid[row, column] = values_N[n]
            dark = abs(values_N[n]) > 0.7
            axes.text(
                column,
                row,
                _printable(character),
                family=MONO,
                fontsize=7,
                ha="center",
                va="center",
                color="white" if dark else "black",
                parse_math=False,
            )
    axes.imshow(grid, cmap=COLOURS, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes.axis("off")


def _printable(token: str) -> str:
    """A token with unprintable characters replaced by spaces."""
    return "".join(character if character.isprintable() else " " for character in token)
