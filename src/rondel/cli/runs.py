"""The text that a run's folder keeps, for commands that are given a model."""

from __future__ import annotations

from pathlib import Path

from rondel.data.store import TokenStore
from rondel.errors import InputError


def find_store(folder: Path) -> TokenStore | None:
    """The tokens of the run that a model folder is or lies in; `None` if it was moved away."""
    # The best model of a run lies in a folder inside the run's.
    places = [folder / "tokens", folder.resolve().parent / "tokens"]
    here = next((place for place in places if place.is_dir()), None)
    return None if here is None else TokenStore.open(here)


def open_store(folder: Path) -> TokenStore:
    """As `find_store`; `InputError` if it was moved away."""
    store = find_store(folder)
    if store is None:
        raise InputError(f"{folder} was moved away from the text of its run; give it a TEXT")
    return store
