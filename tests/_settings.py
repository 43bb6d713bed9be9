"""Settings of a run as records, from plain values; what they do not say is the default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rondel.errors import InputError
from rondel.settings import ModelConfig, TextConfig, TrainingConfig, build_section
from rondel.settings.fields import check, choices_of, settings_of, types_of


def model_config(**values: Any) -> ModelConfig:
    """One of any kind and cell."""
    return build_section(ModelConfig, values)


def text_config(**values: Any) -> TextConfig:
    return build_section(TextConfig, values)


def training_config(**values: Any) -> TrainingConfig:
    return build_section(TrainingConfig, values, values)


def others(cls: type) -> Iterator[tuple[str, Any]]:
    """Each setting of a dataclass that can be given, with another value than its default."""
    for name, field in settings_of(cls).items():
        if not field.metadata["flag"]:
            continue
        candidates = (*choices_of(field), True, 0.5, 0.25, 3, 2)
        yield name, next(c for c in candidates if c != field.default and _may_be(cls, name, c))


def _may_be(cls: type, name: str, value: Any) -> bool:
    try:
        check(settings_of(cls)[name], types_of(cls)[name], value)
    except InputError:
        return False
    return True
