"""Log-probabilities of tokens and of their likeliest alternatives, reported beside a text.

Shapes: V vocabulary, T steps, K alternatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rondel.engine.base import Floats, Written
from rondel.engine.probability import largest, log_softmax
from rondel.kernels.inference.written import NO_TOKEN
from rondel.text.tokenizers import Decoder, Tokenizer


class TokenLogprob(NamedTuple):
    """A token of a text: what it adds to that text, and log-probabilities in nats.

    They are the model's, before any sampling rule. `logprob` is `None` for the first token of a
    text, which nothing predicts. `top` has the likeliest tokens, likeliest first, each spelled as
    it would have continued the text.
    """

    text: str
    logprob: float | None
    top: dict[str, float]

    def spelled(self, text: str) -> TokenLogprob:
        """Return a copy whose token is spelled as in the prime, where the vocabulary differs."""
        top = {text if other == self.text else other: p for other, p in self.top.items()}
        return TokenLogprob(text, self.logprob, top)


class Likelihood(NamedTuple):
    """Log-probabilities in nats: of a token, and of the likeliest ones (id, log-probability)."""

    logprob: float | None
    """`None` if nothing predicts the token."""
    likeliest: Iterable[tuple[int, float]] = ()


def likelihood(
    logits_V: Floats | None, token: int, count: int, forbidden: int | None = None
) -> Likelihood:
    """The log-probability of a token by the logits (V,) that predict it, and of `count` others.

    The `forbidden` token has probability 0.
    """
    if logits_V is None:
        return Likelihood(None)
    logits = logits_V.astype(np.float64)
    if forbidden is not None:
        logits[forbidden] = -np.inf
    logprobs = log_softmax(logits)
    best = largest(logprobs, count) if count else np.zeros(0, np.intp)
    return Likelihood(
        float(logprobs[token]), zip(best.tolist(), logprobs[best].tolist(), strict=True)
    )


class Reports:
    """The same for each token that streams write in some steps, as an engine reports them."""

    def __init__(self, written: Written) -> None:
        arrays = written.logprobs, written.likeliest, written.likeliest_logprobs
        self._steps = list(zip(*(array.tolist() for array in arrays), strict=True))

    def of(self, place: int, count: int | None) -> Iterator[Likelihood]:
        """Those of the stream at a place, with `count` alternatives; nothing if it has no count."""
        if count is None:
            return
        for logprobs, likeliest, theirs in self._steps:
            alternatives = zip(likeliest[place][:count], theirs[place], strict=False)
            yield Likelihood(logprobs[place], alternatives)


def spelled(
    tokenizer: Tokenizer, decoder: Decoder, token: int, likelihood: Likelihood
) -> TokenLogprob:
    """The log-probabilities of a token and its alternatives by their texts.

    The decoder, which has written the text before the token, is given the token.
    """
    peek = decoder.peek
    own = peek(token)
    top: dict[str, float] = {}
    for other, logprob in likelihood.likeliest:
        if other == token:
            top.setdefault(own, logprob)
        elif other != NO_TOKEN:
            text = peek(other)
            # Part of a character adds no text yet; a text that two tokens share goes to the one
            # that was written, or else to the likelier.
            if not text or text == own or text in top:
                text = tokenizer.token(other)
            top.setdefault(text, logprob)
    return TokenLogprob(decoder.push(token), likelihood.logprob, top)
