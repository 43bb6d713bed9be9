"""Kinds of model, one a file: each names the parts that such a model is made of.

No other package asks what kind a model is: it asks the kind for the part that it needs. Parts in
other packages are named by import path, so that this package imports none of them, and using a
model imports nothing that is only needed to train one.
"""

from __future__ import annotations

from rondel.kinds.base import Kind
from rondel.registry import Part, Registry
from rondel.settings.sections import ModelConfig

kinds: Registry[Kind] = Registry("kind of model", "rondel.kinds")


def kind_of(config: ModelConfig) -> Kind:
    """Return the kind of the model that `config` describes."""
    return kinds[config.model]


__all__ = ["Kind", "Part", "kind_of", "kinds"]
