"""Declare settings as dataclass fields with help and limits, and check their values.

A component (a cell, a tokenizer, an optimiser, a schedule, a kind of model) declares its settings
in the same way, in a dataclass in its own file.
"""

from __future__ import annotations

import dataclasses
import numbers
import sys
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from rondel.errors import InputError
from rondel.registry import Registry, registry_at
from rondel.values import shown

MOST = 2**63 - 1
"""The largest whole number in TOML."""


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    registry: str = "",
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    flag: bool = True,
    chosen: bool = False,
    idle_with: tuple[str, Any] | None = None,
) -> Any:
    """Declare a setting: a dataclass field with its help, choices and limits.

    `registry` ("package:registry") names the registry whose entries are the choices; the settings
    of the chosen entry become settings of the run. `flag=False` keeps the field off the command
    line. `chosen` means that a run chooses the value if none is given, and `default` is only the
    field's default. `idle_with` is another setting's name and the value with which this setting has
    no effect.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "registry": registry,
        "at_least": at_least,
        "above": above,
        "below": below,
        "flag": flag,
        "chosen": chosen,
        "idle_with": idle_with,
    }
    return dataclasses.field(default=default, metadata=metadata)


def settings_of(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """The settings that a dataclass declares, by name."""
    return {field.name: field for field in dataclasses.fields(cls) if "help" in field.metadata}


def types_of(cls: type) -> Mapping[str, type]:
    """The type of each setting's value, without `| None`."""
    if cls not in _TYPES:
        hints = typing.get_type_hints(cls)
        _TYPES[cls] = {name: _base_type(hints[name]) for name in settings_of(cls)}
    return _TYPES[cls]


_TYPES: dict[type, Mapping[str, type]] = {}


def _base_type(annotation: Any) -> type:
    if isinstance(annotation, types.UnionType):
        annotation = next(arm for arm in typing.get_args(annotation) if arm is not type(None))
    return typing.cast(type, annotation)


def choices_of(field: dataclasses.Field[Any]) -> Collection[str]:
    """The choices of a setting; empty if any value is allowed."""
    if field.metadata["registry"]:
        return registry_of(field)
    return typing.cast("tuple[str, ...]", field.metadata["choices"])


def registry_of(field: dataclasses.Field[Any]) -> Registry[Any]:
    """The registry that a setting chooses from."""
    return registry_at(field.metadata["registry"])


def check(field: dataclasses.Field[Any], type_: type, value: Any) -> Any:
    """Convert a value to the setting's type; raises `InputError`, naming the flag, if invalid.

    Any whole number is accepted for an `int` and any real number for a `float`, also NumPy's.
    """
    if value is None:
        return None
    flag = flag_name(field.name)
    value = _convert(type_, value, flag)
    choices = choices_of(field)
    if choices and value not in choices:
        raise InputError(f"{flag} is one of {', '.join(choices)}, not {shown(value)}")
    _check_limits(field.metadata, type_, value, flag)
    return value


def _convert(type_: type, value: Any, flag: str) -> Any:
    kinds: dict[type, type] = {int: numbers.Integral, float: numbers.Real}
    valid = isinstance(value, kinds.get(type_, type_))
    if not valid or (type_ is not bool and isinstance(value, bool)):
        raise InputError(f"{flag} takes a value of type {type_.__name__}, not {shown(value)}")
    if type_ is int:
        return int(value)
    if type_ is str and not _is_encodable(value):
        raise InputError(f"{flag} takes text that can be encoded as UTF-8, not {shown(value)}")
    # A whole number stays one, so that 5 is written as 5, not 5.0.
    return value if isinstance(value, int | str) else type_(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_limits(limits: Mapping[str, Any], type_: type, value: Any, flag: str) -> None:
    if type_ is float and not abs(value) <= sys.float_info.max:
        raise InputError(f"{flag} must be a finite number, not {shown(value)}")
    if limits["at_least"] is not None and value < limits["at_least"]:
        raise InputError(f"{flag} must be at least {limits['at_least']}, not {shown(value)}")
    if limits["above"] is not None and value <= limits["above"]:
        raise InputError(f"{flag} must be more than {limits['above']}, not {shown(value)}")
    if limits["below"] is not None and value >= limits["below"]:
        raise InputError(f"{flag} must be less than {limits['below']}, not {shown(value)}")
    if type_ is int and value > MOST:
        raise InputError(f"{flag} must be at most {MOST}, not {shown(value)}")


def flag_name(field_name: str) -> str:
    """`seq_length` -> `--seq-length`."""
    return "--" + field_name.replace("_", "-")
