"""Check the arguments of public functions against their annotations.

::

    @checked
    def stream(self, prime: str, *, length: int = 500) -> Iterator[str]: ...

    stream("The ", length=np.int64(5))      # length is 5
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
    """Limits of a whole number, as in `Annotated[int, Limits(1)]`."""

    at_least: int
    below: int | None = None


Positive = Annotated[int, Limits(1, 2**63)]
"""A number of things."""
Natural = Annotated[int, Limits(0)]
"""A seed, or an index."""

_SEQUENCES = (collections.abc.Sequence, list, tuple)


def checked(function: F) -> F:
    """Check a function's arguments against its annotations at each call.

    Raises `InputError`, naming the argument. NumPy scalars become Python numbers. Arguments
    annotated as `Any`, and those of `*args` and `**kwargs`, are not checked.
    """
    signature = inspect.signature(function)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [name for name, arg in signature.parameters.items() if arg.kind not in variadic]

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
    """Apply `checked` to a class's public methods and its `__init__`."""
    for name, member in list(vars(cls).items()):
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            setattr(cls, name, checked(member))
    return cls


def check_fields(settings: Any) -> None:
    """Check every field of a dataclass against its annotation, as `checked` checks arguments."""
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
    """The public names of `rondel`, for annotations that a module imports for type checkers."""

    def __missing__(self, name: str) -> Any:
        package = sys.modules["rondel"]
        if name not in package.__all__:
            raise KeyError(name)
        return getattr(package, name)


def conform(name: str, value: Any, annotation: Any) -> Any:
    """Convert a value to its annotation; raises `InputError`, naming it, if that is impossible."""
    kind, arms = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        number = whole(name, value, at_least=arms[1].at_least)
        # The upper limit is checked separately, so that the message names it only if exceeded.
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
    # For `str | Path` a string must be a valid path, and stays a string.
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
            # For a list, report the wrong item.
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
    """Describe an annotation in a message."""
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
    is_exported = annotation.__name__ in sys.modules["rondel"].__all__
    return f"a {'rondel' if is_exported else annotation.__module__}.{annotation.__name__}"
