"""Reading the files of a model's folder, any of which may be damaged, missing or something else.

Whatever is wrong with one is a `ModelFolderError` of one line that names it. Nothing here waits for
a device or a pipe that stands in a file's place.
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
"""No file of a folder nests lists and objects half as deep; JSON of any depth ends in recursion."""
LARGEST = 2**48
"""No count and no other number of a run comes near it, and a machine's holds it many times."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a `ModelFolderError`."""
    try:
        yield
    except FileNotFoundError as error:
        name = error.filename or path
        raise ModelFolderError(f"{name} is missing; copy the whole folder again") from None
    except OSError as error:
        name, reason = error.filename or path, error.strerror or error
        raise ModelFolderError(f"{name} cannot be read ({reason}); {COPY_AGAIN}") from None


def check_is_file(path: Path) -> None:
    """Raise `ModelFolderError` unless a file stands at `path`."""
    with reading(path):
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise ModelFolderError(f"{path} is no file; {COPY_AGAIN}")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8; `ModelFolderError` if it cannot be read or is no such text."""
    check_is_file(path)
    with reading(path):
        content = path.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path} is damaged ({error}); {COPY_AGAIN}") from None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; `ModelFolderError` if it is not there or is damaged."""
    return parse_json(read_text(path), path)


def parse_json(text: str, where: object) -> dict[str, Any]:
    """The JSON object that a text is; `ModelFolderError` naming `where` if it is none."""
    try:
        values = json.loads(text)
    except RecursionError:
        raise ModelFolderError(f"{where} is damaged (nested too deep); {COPY_AGAIN}") from None
    except ValueError as error:  # no JSON, or a number of thousands of digits
        raise ModelFolderError(f"{where} is damaged ({error}); {COPY_AGAIN}") from None
    if not isinstance(values, dict):
        raise ModelFolderError(f"{where} is damaged (no JSON object); {COPY_AGAIN}")
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


def sum_of(*values: Any) -> str:
    """The SHA-256 of values of JSON, however they are spaced and ordered in their files."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@contextmanager
def open_arrays(path: Path) -> Iterator[Any]:
    """A file of safetensors, opened; `ModelFolderError` if it cannot be read."""
    check_is_file(path)
    try:
        with reading(path), safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise ModelFolderError(f"{path} is truncated or damaged ({error}); {COPY_AGAIN}") from None


def all_arrays(file: Any, path: Path) -> Arrays:
    """Every array of an open file, by name."""
    try:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (TypeError, AttributeError, ValueError) as error:  # a type that NumPy does not have
        raise ModelFolderError(f"{path} is damaged ({error}); {COPY_AGAIN}") from None


def array_fault(found: Mapping[str, Any], name: str, shape: tuple[int, ...], dtype: Any) -> str:
    """What is wrong with an array of that name, in words; empty if it is as it should be."""
    array = found.get(name)
    if array is None:
        return f"the array {name} is missing"
    # Safetensors are written from arrays of one dimension at least.
    if (array.shape or (1,)) != (shape or (1,)) or array.dtype != np.dtype(dtype):
        return (
            f"the array {name} is {array.dtype} of {array.shape}, and should be "
            f"{np.dtype(dtype)} of {shape}"
        )
    return ""


def from_values(cls: type[T], values: Any, besides: tuple[str, ...] = ()) -> T:
    """A dataclass out of values of JSON; `ValueError` if they are not those of its fields.

    Fields are whole numbers from 0 on, finite numbers, or one of these or None; those named in
    `besides` are left as they are by default.
    """
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)} - set(besides)  # type: ignore[arg-type]
    if not isinstance(values, dict) or values.keys() != names:
        raise ValueError(f"its parts should be {', '.join(sorted(names))}")
    for name, value in values.items():
        hint, optional = hints[name], False
        if isinstance(hint, types.UnionType):
            hint, optional = typing.get_args(hint)[0], True
        good = is_number(value) if hint is float else is_count(value)
        if not good and not (optional and value is None):
            raise ValueError(f"{name} is {value!r}")
    return cls(**values)


def is_count(value: Any) -> bool:
    """Whether a value of JSON is a whole number from 0 on, and no larger than a machine's."""
    return type(value) is int and 0 <= value <= LARGEST


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number, finite, and no larger than a machine's."""
    if type(value) is int:
        return abs(value) <= LARGEST
    return type(value) is float and math.isfinite(value)
