"""The tokens stored in a run's folder, for commands that get a model folder."""

from __future__ import annotations

from pathlib import Path

from rondel.data.store import TokenStore
from rondel.errors import InputError


def open_store(folder: Path, vocab_size: int) -> TokenStore:
    """The tokens of the run that a model folder belongs to.

    Raises `InputError` if the model was moved away from it. See `TokenStore.of_model`.
    """
    store = TokenStore.of_model(folder, vocab_size)
    if store is None:
        raise InputError(f"{folder} was moved away from the text of its run; give a TEXT")
    return store
