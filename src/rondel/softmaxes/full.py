"""One matrix with a row for each token, and a softmax over all of them."""

from __future__ import annotations

from typing import ClassVar

from rondel.registry import Part
from rondel.settings.sections import ModelConfig
from rondel.softmaxes import softmaxes
from rondel.softmaxes.base import Arrays, Softmax


class Full(Softmax):
    """`torch.nn.Linear`; the matrix is the embedding where the two are tied."""

    is_linear: ClassVar[bool] = True
    module = Part("rondel.nn.heads:linear_head")
    head = Part("rondel.engine.head:linear_head")

    def arrays(self, name: str, config: ModelConfig) -> Arrays:
        """`weight` (V, H), unless tied, and `bias` (V,)."""
        if not config.tie_weights:
            yield f"{name}.weight", (config.vocab_size, config.hidden_size)
        yield f"{name}.bias", (config.vocab_size,)


softmaxes.register("full")(Full())
