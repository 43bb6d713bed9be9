"""The base class of sampling rules: a few parameters, and a function from logits to logits."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.values import is_finite, shown

Logits = npt.NDArray[np.float64]
History = npt.NDArray[np.integer[Any]]


def parameter(
    default: float,
    help: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> Any:
    """Declare a rule's parameter; its default must leave the distribution unchanged.

    An `int` default makes it a whole number.
    """
    metadata = {"help": help, "at_least": at_least, "above": above, "at_most": at_most}
    return dataclasses.field(default=default, metadata=metadata)


class Rule(ABC):
    """A sampling rule. A subclass is a frozen dataclass whose fields are made by `parameter`.

    A parameter's name must be unique among all rules: command line, HTTP schema and `Model.sample`
    know it by name alone. With the default parameters, a rule leaves the distribution unchanged.
    """

    order: ClassVar[int]
    """Rules apply from the lowest to the highest."""

    keeps_likeliest: ClassVar[bool] = False
    """Whether the likeliest token stays the likeliest, so that greedy decoding ignores the rule."""

    def __post_init__(self) -> None:
        """Raise `InputError` for a parameter outside its limits."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(field, getattr(self, field.name))

    @abstractmethod
    def apply(self, logits: Logits, history: History) -> Logits:
        """Return new logits (V,) from logits (V,) and the token ids so far, prime included (N,).

        A token that must not be drawn gets -inf; at least one token must keep a finite logit. Some
        logits may be -inf already. Do not change the given array.
        """

    @property
    def active(self) -> bool:
        """Whether any parameter differs from its default."""
        return any(
            getattr(self, field.name) != field.default
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        )


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    whole = isinstance(field.default, int)
    types = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    limits = field.metadata
    if (
        not isinstance(value, types)
        or isinstance(value, bool)
        or not is_finite(value)
        or (limits["at_least"] is not None and value < limits["at_least"])
        or (limits["above"] is not None and value <= limits["above"])
        or (limits["at_most"] is not None and value > limits["at_most"])
    ):
        words = {"at_least": "at least", "above": "more than", "at_most": "at most"}
        bounds = [f"{word} {limits[key]}" for key, word in words.items() if limits[key] is not None]
        kind = "a whole number" if whole else "a number"
        raise InputError(f"{field.name} must be {kind}, {' and '.join(bounds)}, not {shown(value)}")
