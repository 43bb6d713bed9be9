"""Kinds of model, one a file: what a model of that kind is made of.

No other room asks what kind a model is: it asks the kind for the part that it needs. A part that is
code of another room is named by import path, so that this room imports none of them, and using a
model imports nothing of what makes one.
"""

from __future__ import annotations

from rondel.kinds.base import Kind
from rondel.registry import Part, Registry
from rondel.settings.sections import ModelConfig

kinds: Registry[Kind] = Registry("kind of model", "rondel.kinds")


def kind_of(config: ModelConfig) -> Kind:
    """The kind of the model that `config` describes."""
    return kinds[config.model]


__all__ = ["Kind", "Part", "kind_of", "kinds"]
