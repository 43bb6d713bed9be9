"""Print finds, effects and a unit's values."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rondel.inspection.ablation import Effect
    from rondel.inspection.finding import Find
    from rondel.inspection.trace import Trace, Unit

BLUE, RED = (33, 102, 172), (178, 24, 43)
EXCERPT = 400


def colour(value: float) -> Style:
    """The background colour of a value: blue at -1, white at 0, red at +1."""
    end = RED if value > 0 else BLUE
    red, green, blue = (round(255 + (channel - 255) * abs(value)) for channel in end)
    ink = "white" if abs(value) > 0.6 else "black"
    return Style.parse(f"{ink} on rgb({red},{green},{blue})")


def show_unit(trace: Trace, unit: Unit, most: int) -> None:
    """Print the first `most` tokens of the text, coloured by a unit's values."""
    from rondel.inspection.scale import scaled

    console = Console(highlight=False)
    text = Text()
    for token, value in zip(trace.tokens[:most], scaled(trace.values(unit)), strict=False):
        append(text, token, float(value))
    console.print(Text(f"unit {unit}", style="bold"))
    console.print(text)


def append(text: Text, token: str, value: float) -> None:
    """Append a token in its colour; a line break is shown as ↵, so that it has a colour too."""
    for character in token:
        text.append("↵" if character == "\n" else character, colour(value))
        if character == "\n":
            text.append("\n")


def print_finds(trace: Trace, finds: Sequence[Find], top: int, how: str) -> None:
    """Print the strongest finds of each feature, and the best unit of each over some text."""
    if how == "json":
        click.echo(json.dumps([_plain(find) for find in finds], indent=1))
        return
    if not finds:
        click.echo(
            "no unit is associated with a feature of this text more than by chance, or in a model "
            "with shuffled weights"
        )
        return
    chosen = _best(finds, top)
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("feature", "unit", "measure", "here", "confirmed", "p"):
        table.add_column(
            name, justify="left" if name in ("feature", "unit", "measure") else "right"
        )
    for find in chosen:
        measure = find.measure
        if find.wavelength is not None:
            measure += f" of {find.wavelength:.0f}"
        sign = "+" if find.measure == "r" else ""
        figures = (f"{value:{sign}.3f}" for value in (find.value, find.confirmed_value))
        table.add_row(find.feature, str(find.unit), measure, *figures, f"{find.p_value:.3f}")
    console.print(table)
    if console.is_terminal:
        for find in _best(finds, 1):
            console.print()
            console.print(Text(find.feature, style="italic"))
            show_unit(trace, find.unit, EXCERPT)


def _best(finds: Sequence[Find], top: int) -> list[Find]:
    """The `top` finds of each feature and measure, the strongest features first."""
    chosen: dict[tuple[str, str], list[Find]] = {}
    for find in finds:
        chosen.setdefault((find.feature, find.measure), []).append(find)
    return [find for several in chosen.values() for find in several[:top]]


def print_effects(effects: Sequence[Effect], token: str, how: str) -> None:
    """Print the change of the loss by clamping."""
    if how == "json":
        click.echo(json.dumps([_plain(effect) for effect in effects], indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("unit", "clamped to", "loss", "change", "feature", "where it holds", "elsewhere"):
        table.add_column(name, justify="left" if name in ("unit", "feature") else "right")
    for effect in effects:
        change = (effect.change_where, effect.change_elsewhere)
        table.add_row(
            str(effect.unit),
            f"{effect.clamped_to:+.3f}",
            f"{effect.loss:.4f}",
            f"{effect.change:+.4f}",
            effect.feature or "",
            *("" if math.isnan(value) else f"{value:+.4f}" for value in change),
        )
    Console(highlight=False).print(table)
    click.echo(f"nats per {token}; {effects[0].tokens:,} {token}s predicted")


def _plain(row: Find | Effect) -> dict[str, Any]:
    """Convert for JSON: a unit to its name, NaN to null."""
    values = {**dataclasses.asdict(row), "unit": str(row.unit)}
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }
