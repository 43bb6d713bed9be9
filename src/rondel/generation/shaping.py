"""From a model's logits to the distribution that a token is chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rondel.engine.base import Floats
from rondel.engine.probability import Logits
from rondel.errors import InputError
from rondel.generation.rules import active_rules
from rondel.generation.rules.base import History
from rondel.generation.rules.temperature import Temperature
from rondel.text.tokenizers import Tokenizer


class Shaper:
    """Forbids the unknown token, which stands for no text, and applies the active rules."""

    def __init__(self, tokenizer: Tokenizer, parameters: Mapping[str, Any]) -> None:
        self._unknown_id = tokenizer.unknown_id
        self._rules = active_rules(parameters)
        if tokenizer.vocab_size == 1 and self._unknown_id is not None:
            raise InputError(
                "the model's vocabulary has no token but the unknown one, so it can write nothing: "
                "train it with a larger --vocab-size"
            )

    @property
    def temperature_alone(self) -> float | None:
        """The temperature, if no other rule is active; else `None`."""
        if not self._rules:
            return 1.0
        only = self._rules[0] if len(self._rules) == 1 else None
        return only.temperature if isinstance(only, Temperature) else None

    def __call__(self, logits_V: Floats, history: History) -> Logits:
        """New logits (V,) from a model's (V,) and the tokens so far (N,)."""
        logits = logits_V.astype(np.float64)
        if self._unknown_id is not None:
            logits[self._unknown_id] = -np.inf
        for rule in self._rules:
            logits = rule.apply(logits, history)
        return logits
