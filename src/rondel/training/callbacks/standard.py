"""The callbacks of an ordinary run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rondel.training.callbacks import Callback, callbacks

if TYPE_CHECKING:
    from rich.console import Console


def standard_callbacks(console: Console | None = None, *, quiet: bool = False) -> list[Callback]:
    """What every run has of the registered callbacks; those that show it after the others.

    `console` is where they write, standard output if left out; if `quiet`, they write nowhere.
    """
    if quiet:
        console = None
    elif console is None:
        from rich.console import Console

        console = Console()
    ordered = sorted(callbacks.values(), key=lambda callback: callback.shows)
    made = [callback.standard(console) for callback in ordered]
    return [callback for callback in made if callback is not None]
