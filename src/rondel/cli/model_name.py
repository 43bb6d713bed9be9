"""What a model is called on a page that is made of it."""

from __future__ import annotations

from pathlib import Path


def model_name(folder: Path) -> str:
    """Return the folder's name, with the run's if it is the run's best model."""
    place = folder.resolve()
    return f"{place.parent.name}/{place.name}" if place.name == "best" else place.name
