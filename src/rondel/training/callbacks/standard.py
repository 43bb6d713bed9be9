"""The callbacks that every run has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel.training.callbacks import Callback, callbacks

if TYPE_CHECKING:
    from rich.console import Console


def standard_callbacks(console: Console | None = None, *, quiet: bool = False) -> list[Callback]:
    """Make the registered callbacks that every run has; those that write to the console come last.

    `console` is by default standard output. If `quiet`, nothing is written to it.
    """
    if quiet:
        console = None
    elif console is None:
        from rich.console import Console

        console = Console()
    ordered = sorted(callbacks.values(), key=lambda callback: callback.shows)
    made = [callback.standard(console) for callback in ordered]
    return [callback for callback in made if callback is not None]
