"""Whether a number or a path that a caller gives is one, for those who call rondel from Python."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

from rondel.errors import InputError


def plain(value: Any) -> Any:
    """A NumPy scalar as the Python value that it holds; anything else as it is."""
    # Where NumPy was never imported, there is no scalar of it, and no reason to import it.
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def whole(name: str, value: Any, *, at_least: int | None = None, below: int | None = None) -> int:
    """A whole number as an `int`; `InputError` if it is none, or out of its limits."""
    number = plain(value)
    if (
        not isinstance(number, int)
        or isinstance(number, bool)
        or (at_least is not None and number < at_least)
        or (below is not None and number >= below)
    ):
        least = "" if at_least is None else f" of at least {at_least}"
        most = "" if below is None else f"{' and' if least else ' of'} less than {below}"
        raise InputError(f"{name} must be a whole number{least}{most}, not {shown(value)}")
    return number


def finite(name: str, value: Any, *, at_least: float | None = None) -> float:
    """A finite number as a `float`; `InputError` if it is none, or below its limit."""
    number = plain(value)
    if (
        not isinstance(number, int | float)
        or isinstance(number, bool)
        or not is_finite(number)
        or (at_least is not None and number < at_least)
    ):
        least = "" if at_least is None else f" of at least {at_least:g}"
        raise InputError(f"{name} must be a finite number{least}, not {shown(value)}")
    return float(number)


def is_finite(number: float) -> bool:
    """Whether a number is finite, and no larger than a float can hold."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def as_path(value: Any, what: str) -> Path:
    """A path from a string or a path; `InputError` if it is none, or no file can be called so."""
    try:
        path = Path(value)
        os.fsencode(path)
    except (TypeError, UnicodeEncodeError):
        path = None
    if path is None or "\0" in str(path):
        raise InputError(f"{what} must be a path (str or Path), not {shown(value)}") from None
    return path


def shown(value: Any) -> str:
    """A value as a message can show it: on one line, and not too long."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes
        return f"a number of {value.bit_length()} bits"
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:60]}…"
