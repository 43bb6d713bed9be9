"""Sampling rules, one a file: each maps logits to logits, so that they combine freely."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rondel.errors import InputError
from rondel.generation.sampling.rules.base import Rule, parameter
from rondel.registry import Registry

rules: Registry[type[Rule]] = Registry("sampling rule", "rondel.generation.sampling.rules")


def active_rules(parameters: Mapping[str, Any]) -> list[Rule]:
    """Build the rules that `parameters`, by name, switch on, in the order they apply.

    Raises `InputError` for a name that no rule has or a value outside its limits.
    """
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


__all__ = ["Rule", "active_rules", "parameter", "rules"]
