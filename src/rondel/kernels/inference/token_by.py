"""How the next token of a stream is chosen. Needs no Numba."""

from __future__ import annotations

from enum import IntEnum


class TokenBy(IntEnum):
    """How the next token of a stream is chosen."""

    CALLER = 0
    """By the caller."""
    DRAW = 1
    """Drawn from the softmax of the logits divided by the temperature."""
    LIKELIEST = 2
    DRAW_IF_WORD_BEGINS = 3
    """Drawn after a token that a word begins after; else the likeliest."""
