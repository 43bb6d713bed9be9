"""Modes that take one token after the other: how each takes it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rondel.engine.probability import Logits, argmax
from rondel.generation.draw import draw
from rondel.text.tokenizers import Tokenizer

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
