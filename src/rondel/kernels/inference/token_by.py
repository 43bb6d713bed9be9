"""`TokenBy`, apart from the kernels because it needs no Numba."""

from __future__ import annotations

from enum import IntEnum


class TokenBy(IntEnum):
    """How the next token of a stream is chosen."""

    CALLER = 0
    """The caller sets it."""
    DRAW = 1
    """Drawn from the softmax of the logits divided by the temperature."""
    LIKELIEST = 2
    DRAW_IF_WORD_BEGINS = 3
    """Drawn if a word begins after the last token, else the likeliest."""
    GIVEN = 4
    """Known for some steps ahead: the stream is a text that is read."""
