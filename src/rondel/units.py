"""Format numbers with their units."""

from __future__ import annotations

import math


def describe_loss(loss: float, token: str) -> str:
    """Format a loss in nats per token, with perplexity for words and bits for other tokens.

    A loss per sentence has neither.
    """
    if token == "sentence":
        return f"{loss:.3f} nats/sentence"
    if token == "word":
        return f"{loss:.3f} (perplexity {math.exp(min(loss, 50)):,.1f})"
    return f"{loss:.3f} ({loss / math.log(2):.3f} bits/{token})"


def clock(seconds: float) -> str:
    """Format seconds as `1:02:03` or `2:03`."""
    if math.isinf(seconds):
        return "?"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
