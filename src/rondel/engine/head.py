"""The head of a model, which maps a stack's outputs to logits.

Shapes: H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rondel.engine.base import Floats


class Head(NamedTuple):
    """A linear map to the vocabulary::

    logits_TBV = Head.of(weights)(outputs_TBH)
    """

    weight_VH: Floats
    bias_V: Floats

    @classmethod
    def of(cls, weights: Mapping[str, Floats], name: str = "head") -> Head:
        """Return the head called `name`; one without a matrix is tied to the embedding."""
        weight_VH = weights.get(f"{name}.weight")
        return cls(
            weights["embedding.weight"] if weight_VH is None else weight_VH, weights[f"{name}.bias"]
        )

    def __call__(self, outputs: Floats) -> Floats:
        """Return logits (..., V) of outputs (..., H)."""
        logits: Floats = outputs @ self.weight_VH.T
        logits += self.bias_V
        return logits
