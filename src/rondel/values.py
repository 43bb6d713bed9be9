"""Check numbers, texts and paths given by callers from Python.

>>> whole("count", np.int64(3), at_least=1)                               # doctest: +SKIP
3
>>> check_text(None, "the prime")                                         # doctest: +SKIP
InputError: the prime must be a string (str), not None
"""

from __future__ import annotations

import math
import os
import reprlib
import sys
from pathlib import Path
from typing import Any

from rondel.errors import InputError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def plain(value: Any) -> Any:
    """Convert a NumPy scalar to its Python value; return anything else unchanged."""
    # If NumPy was never imported, there are no NumPy scalars, and no reason to import it.
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def whole(name: str, value: Any, *, at_least: int | None = None, below: int | None = None) -> int:
    """Return a whole number as an `int`; raises `InputError` if it is none or out of limits."""
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
    return int(number)


def finite(name: str, value: Any, *, at_least: float | None = None) -> float:
    """Return a finite number as a `float`; raises `InputError` if it is none or below the limit."""
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


def is_finite(number: Any) -> bool:
    """Whether a number is finite and fits in a float."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def check_text(text: Any, what: str = "the text") -> None:
    """Raise `InputError` if `text` is not a string."""
    if not isinstance(text, str):
        raise InputError(f"{what} must be a string (str), not {shown(text)}")


def as_path(value: Any, what: str) -> Path:
    """Return a `Path`; raises `InputError` if `value` is no path or cannot be a file's name."""
    if isinstance(value, str | Path) and "\0" not in str(value):
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            pass
        else:
            return Path(value)
    raise InputError(f"{what} must be a path (str or Path), not {shown(value)}")


def shown(value: Any) -> str:
    """Format a value for a message: on one line, and shortened."""
    try:
        return " ".join(_SHORT.repr(value).split())
    except ValueError:  # an int with more digits than Python prints
        return f"a number of {value.bit_length():,} bits"
