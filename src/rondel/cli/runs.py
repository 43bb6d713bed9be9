"""The text that a run's folder keeps, for commands that are given a model."""

from __future__ import annotations

from pathlib import Path

from rondel.data.store import TokenStore
from rondel.errors import InputError


def open_store(folder: Path, vocab_size: int) -> TokenStore:
    """The tokens of the run that a model folder is or lies in; `InputError` if it was moved.

    See `TokenStore.of_model`.
    """
    store = TokenStore.of_model(folder, vocab_size)
    if store is None:
        raise InputError(f"{folder} was moved away from the text of its run; give it a TEXT")
    return store
