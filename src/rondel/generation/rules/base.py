"""What a sampling rule is: a few parameters, and a function from logits to logits."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError

Logits = npt.NDArray[np.float64]
History = npt.NDArray[np.integer[Any]]


def parameter(
    default: float,
    help: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Any:
    """A rule's parameter; its default must leave the logits as they are."""
    metadata = {"help": help, "at_least": at_least, "at_most": at_most}
    return dataclasses.field(default=default, metadata=metadata)


class Rule(ABC):
    """A sampling rule. A subclass is a frozen dataclass whose fields are made by `parameter`.

    No two rules may name a parameter alike: command line, HTTP schema and `Model.sample` know a
    parameter by its name alone. At their defaults, the parameters leave every distribution as it is.
    """

    order: ClassVar[int]
    """Rules apply from the lowest to the highest."""

    def __post_init__(self) -> None:
        """Refuse a parameter outside its limits, with an `InputError` that names it."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value, limits = getattr(self, field.name), field.metadata
            if isinstance(field.default, int) and not isinstance(value, int):
                raise InputError(f"{field.name} must be a whole number, not {value!r}")
            # Written so that not-a-number, which no comparison holds for, is refused as well.
            low, high = limits["at_least"], limits["at_most"]
            if not (low is None or value >= low) or value in (float("inf"), float("-inf")):
                raise InputError(f"{field.name} must be a number of at least {low}, not {value}")
            if not (high is None or value <= high):
                raise InputError(f"{field.name} must be a number of at most {high}, not {value}")

    @abstractmethod
    def apply(self, logits: Logits, history: History) -> Logits:
        """New logits (V,) from logits (V,) and the token ids so far, prime included (N,).

        A token that must not be drawn gets -inf; at least one token keeps a finite logit.
        """

    @property
    def active(self) -> bool:
        """Whether any parameter differs from its default."""
        return any(
            getattr(self, field.name) != field.default
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        )


def active_rules(parameters: dict[str, Any]) -> list[Rule]:
    """The rules that `parameters` (by name, from any of the registered rules) switch on, in order.

    Raises `InputError` for a name that no rule has or a value outside its limits.
    """
    from rondel.generation.rules import rules

    left = dict(parameters)
    chosen = []
    for cls in rules.values():
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        rule = cls(**{name: left.pop(name) for name in names if name in left})
        if rule.active:
            chosen.append(rule)
    if left:
        raise InputError(f"no sampling rule has a parameter called {min(left)!r}")
    return sorted(chosen, key=lambda rule: rule.order)
