"""What a sampling rule is: a few parameters, and a function from logits to logits."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
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
    """A rule's parameter; its default must leave the distribution as it is.

    An `int` as the default makes it a whole number.
    """
    metadata = {"help": help, "at_least": at_least, "above": above, "at_most": at_most}
    return dataclasses.field(default=default, metadata=metadata)


class Rule(ABC):
    """A sampling rule. A subclass is a frozen dataclass whose fields are made by `parameter`.

    No two rules may name a parameter alike: command line, HTTP schema and `Model.sample` know a
    parameter by its name alone. At their defaults, the parameters leave the distribution as it is.
    """

    order: ClassVar[int]
    """Rules apply from the lowest to the highest."""

    keeps_likeliest: ClassVar[bool] = False
    """The likeliest token stays the likeliest: no effect where that one is always taken."""

    def __post_init__(self) -> None:
        """Refuse a parameter outside its limits, with an `InputError` that names it."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(field, getattr(self, field.name))

    @abstractmethod
    def apply(self, logits: Logits, history: History) -> Logits:
        """New logits (V,) from logits (V,) and the token ids so far, prime included (N,).

        A token that must not be drawn gets -inf; at least one token keeps a finite logit. Some
        logits may be -inf already. The array given is left as it is.
        """

    @property
    def active(self) -> bool:
        """Whether any parameter differs from its default."""
        return any(
            getattr(self, field.name) != field.default
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        )


def active_rules(parameters: Mapping[str, Any]) -> list[Rule]:
    """The rules that `parameters` (by name, from any of the registered rules) switch on, in order.

    Raises `InputError` for a name that no rule has or a value outside its limits.
    """
    from rondel.generation.sampling.rules import rules

    left = dict(parameters)
    chosen, known = [], []
    for cls in rules.values():
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        rule = cls(**{name: left.pop(name) for name in names if name in left})
        known += names
        if rule.active:
            chosen.append(rule)
    if left:
        raise InputError(
            f"no sampling rule has a parameter called {min(left)!r}; there are: {', '.join(known)}"
        )
    return sorted(chosen, key=lambda rule: rule.order)


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
