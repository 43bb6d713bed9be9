"""Checks of what a function is given, by its annotations: the doors for those who use Python.

::

    @checked
    def stream(self, prime: str, *, length: int = 500) -> Iterator[str]: ...

    stream("The ", length=np.int64(5))      # 5 is what it holds
    stream(b"The ")                         # InputError: prime must be a string (str), not b'The '
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np

from rondel.errors import InputError
from rondel.values import as_path, check_text, finite, plain, shown, whole

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Limits:
    """What a whole number may be, as in `Annotated[int, Limits(1)]`."""

    at_least: int
    below: int | None = None


Positive = Annotated[int, Limits(1, 2**63)]
"""How many of something: what could be counted."""
Natural = Annotated[int, Limits(0)]
"""A seed, or a number in a row that begins with 0."""

_SEQUENCES = (collections.abc.Sequence, list, tuple)


def checked(function: F) -> F:
    """Check every argument of a function against its annotation as it is called.

    Raises `InputError`, naming the argument; a NumPy scalar becomes the number that it holds. What
    is annotated as `Any`, and what `*args` and `**kwargs` take, is left to the function.
    """
    signature = inspect.signature(function)
    left = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [name for name, parameter in signature.parameters.items() if parameter.kind not in left]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given, hints = signature.bind(*args, **kwargs), _hints(function)
        for name in names:
            if name in given.arguments and name in hints:
                value = given.arguments[name]
                given.arguments[name] = conform(name, value, hints[name])
        return function(*given.args, **given.kwargs)

    return typing.cast(F, call)


def checked_methods(cls: C) -> C:
    """Check the arguments of a class's public methods, and of its making, as `checked` does."""
    for name, member in list(vars(cls).items()):
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, checked(member))
    return cls


def check_fields(settings: Any) -> None:
    """Check every field of a dataclass against its annotation, as `checked` does arguments."""
    hints = _hints(settings.__class__)
    for field in dataclasses.fields(settings):
        value = conform(field.name, getattr(settings, field.name), hints[field.name])
        object.__setattr__(settings, field.name, value)


@functools.cache
def _hints(thing: Any) -> dict[str, Any]:
    if inspect.isclass(thing):
        return typing.get_type_hints(thing, include_extras=True)
    known, hints = vars(sys.modules[thing.__module__]), {}
    names = collections.ChainMap(known, _Exported())
    for name, annotation in thing.__annotations__.items():
        with contextlib.suppress(NameError):  # imported for type checkers alone
            hints[name] = eval(annotation, known, names)
    return hints


class _Exported(dict[str, Any]):
    """The names of `rondel`, for what a module that is to load fast imports where it uses it."""

    def __missing__(self, name: str) -> Any:
        package = sys.modules["rondel"]
        if name not in package.__all__:
            raise KeyError(name)
        return getattr(package, name)


def conform(name: str, value: Any, annotation: Any) -> Any:
    """The value as its annotation has it; `InputError`, naming it, if it is something else."""
    kind, arms = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        number = whole(name, value, at_least=arms[1].at_least)
        # What nobody counts to is said of by itself.
        return number if arms[1].below is None else whole(name, number, below=arms[1].below)
    if annotation in _CHECKS:
        return _CHECKS[annotation](name, value)
    if kind in (typing.Union, types.UnionType):
        return _conform_to_one(name, value, annotation)
    if kind in _SEQUENCES:
        if not isinstance(value, list | tuple):
            raise _mismatch(name, value, annotation)
        items = [conform(f"number {n} of {name}", v, arms[0]) for n, v in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if kind is np.ndarray and _is_of_whole_numbers(annotation):
        return _whole_numbers(name, value)
    plain_class = annotation if kind is None else kind
    is_protocol = getattr(plain_class, "_is_protocol", False)
    if inspect.isclass(plain_class) and not is_protocol and not isinstance(value, plain_class):
        raise _mismatch(name, value, annotation)
    return value


def _conform_to_one(name: str, value: Any, annotation: Any) -> Any:
    arms = typing.get_args(annotation)
    if value is None and type(None) in arms:
        return None
    # A string is a path too, where a path is asked for, and stays a string.
    if isinstance(value, str) and str in arms and Path in arms:
        as_path(value, name)
        return value
    kinds = [arm for arm in arms if arm is not type(None) and not (arm is str and Path in arms)]
    if len(kinds) == 1:
        return conform(name, value, kinds[0])
    for kind in kinds:
        try:
            return conform(name, value, kind)
        except InputError as error:
            # Of a list, what is wrong is in it.
            if typing.get_origin(kind) in _SEQUENCES and isinstance(value, list | tuple):
                raise error from None
    raise _mismatch(name, value, annotation)


def _true_or_false(name: str, value: Any) -> bool:
    if not isinstance(plain(value), bool):
        raise InputError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def _text(name: str, value: Any) -> str:
    check_text(value, name)
    return str(value)


def _is_of_whole_numbers(annotation: Any) -> bool:
    (scalar,) = typing.get_args(typing.get_args(annotation)[1])
    return issubclass(typing.get_origin(scalar) or scalar, np.integer)


def _whole_numbers(name: str, value: Any) -> Any:
    """Token ids (N,), as an array."""
    try:
        array = np.asarray(value if isinstance(value, np.ndarray | list | tuple) else None)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if array.shape == (0,):
        return array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"{name} must be an array of whole numbers (N,), not {shown(value)}")
    return array


_CHECKS: dict[Any, Callable[[str, Any], Any]] = {
    str: _text,
    int: whole,
    float: finite,
    bool: _true_or_false,
    Path: lambda name, value: as_path(value, name),
    Any: lambda name, value: value,
}


def _mismatch(name: str, value: Any, annotation: Any) -> InputError:
    return InputError(f"{name} must be {_words(annotation)}, not {shown(value)}")


def _words(annotation: Any) -> str:
    """What a value should be, in words."""
    simple = {
        str: "a string (str)",
        int: "a whole number",
        float: "a finite number",
        bool: "True or False",
        Path: "a path (str or Path)",
        type(None): "None",
    }
    kind, arms = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        return f"a whole number of at least {arms[1].at_least}"
    if annotation in simple:
        return simple[annotation]
    if kind in (typing.Union, types.UnionType):
        named = (_words(arm) for arm in arms if not (arm is str and Path in arms))
        return " or ".join(dict.fromkeys(named))
    if kind in _SEQUENCES:
        return "a list of strings" if arms[0] is str else f"a list, each {_words(arms[0])}"
    if kind is np.ndarray:
        return "an array"
    if kind is not None:
        return "a function" if kind is collections.abc.Callable else f"of the kind {kind.__name__}"
    return f"a {annotation.__module__}.{annotation.__name__}"
