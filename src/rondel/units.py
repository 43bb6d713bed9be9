"""Numbers with their units, as people read them."""

from __future__ import annotations

import math


def describe_loss(loss: float, token: str) -> str:
    """A loss in nats per token with what its level is used to: bits, or perplexity for words.

    One per sentence stands as it is.
    """
    if token == "sentence":
        return f"{loss:.3f} nats/sentence"
    if token == "word":
        return f"{loss:.3f} (perplexity {math.exp(min(loss, 50)):,.1f})"
    return f"{loss:.3f} ({loss / math.log(2):.3f} bits/{token})"


def clock(seconds: float) -> str:
    """Seconds as `1:02:03` or `2:03`."""
    if math.isinf(seconds):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
