"""Whether what is given as a text is one, for those who call rondel from Python."""

from __future__ import annotations

from typing import Any

from rondel.errors import InputError


def check_text(text: Any, what: str = "the text") -> None:
    """Raise `InputError` if this is no string."""
    if not isinstance(text, str):
        raise InputError(f"{what} must be a string (str), not {_shown(text)}")


def check_texts(texts: Any, what: str = "the texts") -> None:
    """Raise `InputError` if these are no list or tuple of strings."""
    if not isinstance(texts, list | tuple):
        raise InputError(f"{what} must be a list of strings, not {_shown(texts)}")
    for number, text in enumerate(texts):
        check_text(text, f"number {number} of {what}")


def _shown(value: Any) -> str:
    return "None" if value is None else f"of the type {type(value).__name__}"
