"""How likely a token was, and what else was, as it is told beside a text.

Shapes: V vocabulary.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np

from rondel.engine.base import Floats
from rondel.engine.probability import largest, log_softmax
from rondel.text.tokenizers import Decoder, Tokenizer


class TokenLogprob(NamedTuple):
    """A token of a text: what it adds to that text, and log-probabilities in nats.

    They are the model's own, before any sampling rule. `logprob` is `None` for the first token of a
    text, which nothing predicts. `top` has the likeliest tokens, likeliest first, each spelled as
    it would have gone on.
    """

    text: str
    logprob: float | None
    top: dict[str, float]

    def spelled(self, text: str) -> TokenLogprob:
        """The same of a text that spells the token otherwise than the vocabulary would have."""
        top = {text if other == self.text else other: p for other, p in self.top.items()}
        return TokenLogprob(text, self.logprob, top)


def token_logprob(
    tokenizer: Tokenizer,
    decoder: Decoder,
    token: int,
    logits_V: Floats | None,
    count: int,
    *,
    writable: bool = True,
) -> TokenLogprob:
    """What is told of a token, by the logits (V,) that predict it; the decoder goes on by it.

    With `writable`, probabilities are among the tokens that can be written, which the unknown one
    cannot.
    """
    if logits_V is None:
        return TokenLogprob(decoder.push(token), None, {})
    logits = logits_V.astype(np.float64)
    if writable and tokenizer.unknown_id is not None:
        logits[tokenizer.unknown_id] = -np.inf
    logprobs = log_softmax(logits)
    top: dict[str, float] = {}
    own = copy.copy(decoder).push(token)
    for other in largest(logprobs, count).tolist() if count else ():
        text = own if other == token else copy.copy(decoder).push(other)
        # Part of a character adds no text yet; what two tokens share goes to the one that came, or
        # else to the likelier.
        plain = other == token or (text and text != own and text not in top)
        top.setdefault(text if plain else tokenizer.token(other), float(logprobs[other]))
    return TokenLogprob(decoder.push(token), float(logprobs[token]), top)
