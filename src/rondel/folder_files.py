"""Read the files of a model folder, any of which may be damaged, missing or not a file.

Every fault is a `ModelFolderError` of one line that names the file. Devices and pipes are refused,
so that nothing waits for them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import stat
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors

from rondel.errors import ModelFolderError

T = TypeVar("T")
Arrays = dict[str, npt.NDArray[Any]]

COPY_AGAIN = "copy it again"
DEEPEST = 20
"""Most levels of nested JSON to accept: more than twice what is written; more could recurse."""
LARGEST = 2**48
"""Largest number to accept: far above any count of a run, and far below overflow."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert an `OSError` to a `ModelFolderError`."""
    try:
        yield
    except FileNotFoundError as error:
        name = error.filename or path
        raise ModelFolderError(f"{name} is missing; copy the whole folder again") from None
    except OSError as error:
        name, reason = error.filename or path, error.strerror or error
        raise ModelFolderError(f"{name} cannot be read ({reason}); {COPY_AGAIN}") from None


def check_is_file(path: Path) -> None:
    """Raise `ModelFolderError` unless there is a regular file at `path`."""
    with reading(path):
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise ModelFolderError(f"{path} is not a file; {COPY_AGAIN}")


def read_text(path: Path) -> str:
    """Read a UTF-8 text file; raises `ModelFolderError` if it cannot be read or decoded."""
    check_is_file(path)
    with reading(path):
        content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path} is damaged ({error}); {COPY_AGAIN}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raises `ModelFolderError` if it is missing or damaged."""
    return parse_json(read_text(path), path)


def parse_json(text: str, where: object) -> dict[str, Any]:
    """Parse a JSON object; raises `ModelFolderError` naming `where` if the text is none."""
    try:
        values = json.loads(text)
    except RecursionError:
        raise ModelFolderError(f"{where} is damaged (nested too deep); {COPY_AGAIN}") from None
    except ValueError as error:  # not JSON, or a number of thousands of digits
        raise ModelFolderError(f"{where} is damaged ({error}); {COPY_AGAIN}") from None
    if not isinstance(values, dict):
        raise ModelFolderError(f"{where} is damaged (not a JSON object); {COPY_AGAIN}")
    if not _is_shallow(values):
        raise ModelFolderError(f"{where} is damaged (nested too deep); {COPY_AGAIN}")
    return values


def _is_shallow(values: Any) -> bool:
    level = [values]
    for _ in range(DEEPEST):
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = [value for part in parts for value in part if isinstance(value, (dict, list))]
        if not level:
            return True
    return False


def checksum(*values: Any) -> str:
    """The SHA-256 of JSON values, whatever the formatting and order of keys in their files."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@contextmanager
def open_arrays(path: Path) -> Iterator[Any]:
    """Open a safetensors file; raises `ModelFolderError` if it cannot be read."""
    check_is_file(path)
    try:
        with reading(path), safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise ModelFolderError(f"{path} is truncated or damaged ({error}); {COPY_AGAIN}") from None


def all_arrays(file: Any, path: Path) -> Arrays:
    """All arrays of an open file, by name."""
    try:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (TypeError, AttributeError, ValueError) as error:  # a dtype that NumPy lacks
        raise ModelFolderError(f"{path} is damaged ({error}); {COPY_AGAIN}") from None


def array_fault(found: Mapping[str, Any], name: str, shape: tuple[int, ...], dtype: Any) -> str:
    """Describe what is wrong with the array of that name; empty if nothing is."""
    array = found.get(name)
    if array is None:
        return f"the array {name} is missing"
    # Safetensors files have arrays of at least one dimension.
    if (array.shape or (1,)) != (shape or (1,)) or array.dtype != np.dtype(dtype):
        return (
            f"the array {name} is {array.dtype} of {array.shape}, and should be "
            f"{np.dtype(dtype)} of {shape}"
        )
    return ""


def from_values(cls: type[T], values: Any, besides: tuple[str, ...] = ()) -> T:
    """Make a dataclass from JSON values; raises `ValueError` if they do not match its fields.

    Fields are whole numbers of at least 0, finite numbers, or one of these or None; those named in
    `besides` keep their defaults.
    """
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)} - set(besides)  # type: ignore[arg-type]
    if not isinstance(values, dict) or values.keys() != names:
        raise ValueError(f"its parts should be {', '.join(sorted(names))}")
    for name, value in values.items():
        hint, optional = hints[name], False
        if isinstance(hint, types.UnionType):
            hint, optional = typing.get_args(hint)[0], True
        valid = is_number(value) if hint is float else is_count(value)
        if not valid and not (optional and value is None):
            raise ValueError(f"{name} is {value!r}")
    return cls(**values)


def is_count(value: Any) -> bool:
    """Whether a JSON value is a whole number from 0 to `LARGEST`."""
    return type(value) is int and 0 <= value <= LARGEST


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number, and if whole at most `LARGEST`."""
    if type(value) is int:
        return abs(value) <= LARGEST
    return type(value) is float and math.isfinite(value)
