"""From logits to a token: the rules, the mode, and the one place that draws.

Shapes: V vocabulary, N tokens so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rondel.engine.base import Floats, Ids
from rondel.engine.probability import Logits, argmax, unnormalized
from rondel.errors import InputError
from rondel.generation.sampling.rules import active_rules
from rondel.generation.sampling.rules.temperature import Temperature
from rondel.text.tokenizers import Tokenizer


def stream_rng(seed: int | None, index: int = 0) -> np.random.Generator:
    """The generator of sample `index` of a seed: the same however many samples are asked for.

    Without a seed it is another one each time.
    """
    entropy = None if seed is None else (seed, index)
    return np.random.default_rng(np.random.SeedSequence(entropy))


def draw(logits: Logits, rng: np.random.Generator) -> int:
    """A token drawn from softmax(logits), by one uniform number and the inverse of the CDF.

    A token of logit -inf is never drawn. Raises `ModelFolderError` if no logit is finite, or one is
    not a number.
    """
    cumulative = unnormalized(logits).cumsum()
    # The total is at least 1 and the uniform number at most 1 - 2**-53, so that their product
    # rounds below the total; the first sum that is greater has grown there, by a weight above 0.
    return int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))


Chooser = Callable[[Logits, int], int]
"""The next token from its logits (V,) and the token before it."""


def chooser(mode: str, tokenizer: Tokenizer, rng: np.random.Generator) -> Chooser:
    """How `mode`, which is "sample", "argmax" or "spaces", takes the next token."""

    def sample(logits: Logits, previous: int) -> int:
        return draw(logits, rng)

    def take_likeliest(logits: Logits, previous: int) -> int:
        return argmax(logits)

    def draw_first_of_word(logits: Logits, previous: int) -> int:
        return draw(logits, rng) if tokenizer.starts_word(previous) else argmax(logits)

    return {"sample": sample, "argmax": take_likeliest, "spaces": draw_first_of_word}[mode]


class History:
    """Token ids (N,), prime first, that grow in amortised constant time."""

    def __init__(self, ids: Ids) -> None:
        self._buffer: Ids = ids.copy()
        self._size = len(ids)

    def append(self, tokens: Sequence[int]) -> None:
        """Add tokens for good."""
        self._size = len(self.followed_by(tokens))

    def followed_by(self, tokens: Sequence[int] = ()) -> Ids:
        """All tokens and then these; a view, good until the next call."""
        size = self._size + len(tokens)
        if size > len(self._buffer):
            self._buffer = np.resize(self._buffer, 2 * size)
        self._buffer[self._size : size] = tokens
        return self._buffer[:size]


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

    def __call__(self, logits_V: Floats, history: Ids) -> Logits:
        """New logits (V,) from a model's (V,) and the tokens so far (N,)."""
        logits = logits_V.astype(np.float64)
        if self._unknown_id is not None:
            logits[self._unknown_id] = -np.inf
        for rule in self._rules:
            logits = rule.apply(logits, history)
        return logits
