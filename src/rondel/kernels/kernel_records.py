"""Records that kernels read, described by classes, whose fields are written and read by name.

A record becomes one element of a NumPy structured array, which Numba reads as `record.field`. The
layout is part of the array's type, so a kernel is compiled for one layout, and a cached kernel
never runs on another. Fields are integers (sizes, and addresses of arrays that the caller keeps
alive) or records.
"""

from __future__ import annotations

from functools import cache
from typing import Any, get_type_hints

import numpy as np
import numpy.typing as npt

Records = Any
"""A structured array (count,) of one class's records; kernels read `array[i].field`."""


@cache
def layout_of(schema: Any) -> np.dtype[np.void]:
    """Return the dtype of a dataclass's or NamedTuple's records, with its fields in order."""
    hints = get_type_hints(schema)
    return np.dtype(
        [(name, np.int64 if kind is int else layout_of(kind)) for name, kind in hints.items()]
    )


def records(*values: Any) -> Records:
    """Build a structured array of records of one class."""
    schema: Any = type(values[0])
    array: npt.NDArray[np.void] = np.zeros(len(values), layout_of(schema))
    for number, value in enumerate(values):
        array[number] = _by_name(value, array.dtype)
    return array


def _by_name(value: Any, layout: Any) -> tuple[Any, ...]:
    return tuple(
        getattr(value, name)
        if layout[name].names is None
        else _by_name(getattr(value, name), layout[name])
        for name in layout.names
    )
