"""Softmaxes over the vocabulary, one a file: what turns a stack's outputs into probabilities."""

from __future__ import annotations

from rondel.registry import Registry
from rondel.settings.sections import ModelConfig
from rondel.softmaxes.base import Arrays, Softmax

softmaxes: Registry[Softmax] = Registry("softmax", "rondel.softmaxes")


def softmax_of(config: ModelConfig) -> Softmax:
    """The softmax of the model that `config` describes."""
    return softmaxes[config.softmax]


__all__ = ["Arrays", "Softmax", "softmax_of", "softmaxes"]
