"""Settings of a run as records, from plain values; what they do not say is the default."""

from __future__ import annotations

from typing import Any

from rondel.settings import ModelConfig, TextConfig, TrainingConfig, build_section


def model_config(**values: Any) -> ModelConfig:
    """One of any kind and cell."""
    return build_section(ModelConfig, values)


def text_config(**values: Any) -> TextConfig:
    return build_section(TextConfig, values)


def training_config(**values: Any) -> TrainingConfig:
    return build_section(TrainingConfig, values, values)
