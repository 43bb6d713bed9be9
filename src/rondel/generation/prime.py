"""Primes: texts to continue, read once up to the logits of the next token.

Shapes: N tokens of the prime, T time, B primes read together, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rondel.engine import Engine, EngineState
from rondel.engine.base import Floats, Ids
from rondel.errors import InputError
from rondel.generation.logprobs import TokenLogprob, likelihood, spelled
from rondel.generation.prefix_cache import PrefixCache
from rondel.generation.sampling.sampler import check_can_write
from rondel.text.tokenizers import Decoder, Tokenizer
from rondel.text.tokenizers.base import texts_of

CHUNK = 256
"""Steps of a prime read at a time, which bounds the memory a long one needs."""
KEPT_EVERY = 1024
"""Tokens between two states of one prime that are kept in a cache."""


class Start(NamedTuple):
    """Where a text starts: the prime's tokens, the state after them and the next token's logits."""

    ids: Ids
    """The prime's tokens (N,)."""
    logits_V: Floats
    state: EngineState
    decoder: Decoder
    """It has decoded the prime; what it returns from here on continues that text."""


def check_prime(tokenizer: Tokenizer, prime: str | Ids) -> None:
    """Raise `InputError` if a model with this tokenizer cannot continue a prime.

    That is: it is empty (there is no token for the beginning of a text), it has a token id outside
    the vocabulary, or the model has no token that it could write.
    """
    if not len(prime):
        raise InputError("there is nothing to continue: give a prime of at least one character")
    check_can_write(tokenizer)
    size = tokenizer.vocab_size
    if not isinstance(prime, str) and (largest := int(prime.max())) >= size:
        raise InputError(f"the prompt has token {largest}; this model's are 0 to {size - 1}")


class Prime:
    """A prime, text or token ids (N,), read in chunks so that other work can go on in between.

    With `logprobs`, keeps the log-probability of each of its tokens and of that many likeliest
    alternatives. Otherwise a beginning whose state is in the `cache` is not read again, and states
    are kept there. Raises `InputError` for what `check_prime` refuses.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        prime: str | Ids,
        logprobs: int | None = None,
        cache: PrefixCache | None = None,
    ) -> None:
        check_prime(tokenizer, prime)
        self._engine, self._tokenizer = engine, tokenizer
        self.keeps_logprobs, self._alternatives = logprobs is not None, logprobs or 0
        """Whether the log-probabilities of its tokens are kept, and of how many others."""
        self._spellings: list[str] | None = None
        if isinstance(prime, str):
            self.text, text = prime, without_space(tokenizer, prime)
            self.ids = tokenizer.encode(text)
            self._owes_space = text != prime
            if not len(self.ids):
                raise InputError(
                    f"there is nothing to continue: this model has no token for {prime!r}; give it "
                    "a prime with a word"
                )
            if logprobs is not None:
                self._spellings = texts_of(prime, tokenizer.spans(text))
        else:
            self.text, self.ids = tokenizer.decode(prime.tolist()), prime
            self._owes_space = False
        self._state = engine.initial_state()
        self._decoder = tokenizer.decoder()
        self._read = self._kept = 0
        self._logits_V: Floats | None = None
        self.logprobs: list[TokenLogprob] = []
        self._cache = cache if logprobs is None else None
        if self._cache is not None:
            # Where sums depend on what is read together, only all of it is sure to be the same.
            known = self._cache.longest(self.ids, whole=not engine.batch_invariant)
            if known is not None:
                self._kept = known.length
                self.advance(known.length, known.logits_V, known.state)

    @property
    def left(self) -> int:
        """How many tokens are still to be read."""
        return len(self.ids) - self._read

    @property
    def unread(self) -> Ids:
        """Those tokens."""
        return self.ids[self._read :]

    @property
    def state(self) -> EngineState:
        """The model's state before them."""
        return self._state

    def start(self) -> Start:
        """Return the start of a text that continues it; only once nothing is left to read."""
        assert self._logits_V is not None
        # Only the decoder is changed by writing a text.
        return Start(self.ids, self._logits_V, self._state, copy.copy(self._decoder))

    def _note(self, block: Ids, logits_TV: Floats) -> None:
        logits_V = self._logits_V
        for token, after_V in zip(block.tolist(), logits_TV, strict=True):
            likely = likelihood(logits_V, token, self._alternatives)
            noted = spelled(self._tokenizer, self._decoder, token, likely)
            if self._spellings is not None:
                noted = noted.spelled(self._spellings[len(self.logprobs)])
            self.logprobs.append(noted)
            logits_V = after_V

    def advance(self, count: int, logits_V: Floats | None, state: EngineState) -> None:
        """Note that the model has read `count` more tokens: the state after them.

        After the last token, the logits (V,) of what follows are needed too.
        """
        block = self.unread[:count]
        self._read += count
        if self._cache is not None and (
            self._read - self._kept >= KEPT_EVERY or self._kept < self._read == len(self.ids)
        ):
            self._cache.keep(self.ids[: self._read], state, logits_V)
            self._kept = self._read
        self._logits_V, self._state = logits_V, state
        if not self.keeps_logprobs:
            for token in block.tolist():
                self._decoder.push(token)
        if not self.left:
            # If it ends within a character's bytes, they were shown: do not show them again.
            self._decoder.finish()
            space_led_V = self._tokenizer.space_led() if self._owes_space else None
            if space_led_V is not None and self._logits_V is not None:
                self._logits_V = np.where(space_led_V, self._logits_V, -np.inf)
            shown = self._tokenizer.implies_space and self.text[-1].isspace()
            if shown or space_led_V is not None:
                self._decoder = AfterSpace(self._decoder)


def read_together(primes: Sequence[Prime], tokens: int) -> None:
    """Read the next chunk of several primes: as many tokens as all of them have left, at most
    `tokens`.

    All must have the same engine, and all or none keep log-probabilities. In a compiled engine a
    row gives the same bits alone, and several take hardly longer than one.
    """
    engine, count = primes[0]._engine, min(tokens, *(one.left for one in primes))
    blocks = [one.unread[:count] for one in primes]
    tokens_TB = np.stack(blocks, axis=1)
    state = tuple(
        np.concatenate(parts, axis=1) for parts in zip(*(one._state for one in primes), strict=True)
    )
    logits_BV: Floats | None = None
    if primes[0].keeps_logprobs:
        logits_TBV, state = engine.sequence(tokens_TB, state)
        for row, one in enumerate(primes):
            one._note(blocks[row], logits_TBV[:, row])
        logits_BV = logits_TBV[-1]
    else:
        # Only the logits after a whole prime are needed, and the head is much of a step's cost.
        ending = any(one.left == count for one in primes)
        before_last = tokens_TB[:-1] if ending else tokens_TB
        if len(before_last):
            state = engine.advance(before_last, state)
        if ending:
            logits_BV, state = engine.step(tokens_TB[-1], state)
    for row, one in enumerate(primes):
        own = tuple(np.ascontiguousarray(part[:, row : row + 1]) for part in state)
        one.advance(count, None if logits_BV is None else logits_BV[row].copy(), own)


def read_prime(engine: Engine, tokenizer: Tokenizer, prime: str) -> Start:
    """Read a whole prime at once; raises `InputError` for what `check_prime` refuses."""
    whole = Prime(engine, tokenizer, prime)
    while whole.left:
        read_together([whole], CHUNK)
    return whole.start()


def without_space(tokenizer: Tokenizer, prime: str) -> str:
    """Return the prime without a final space, if the tokens of a continuation include that space.

    At word level the space before a word is implied; among subwords it is part of the word. With
    it, "The " would end in a token that "The cat" does not have.
    """
    word = prime.removesuffix(" ")
    if tokenizer.implies_space:
        return word if word[-1:].strip() else prime
    return word if word and tokenizer.space_led() is not None else prime


class AfterSpace(Decoder):
    """A decoder after a prime that ended in a space: it does not write that space again."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._begun = False

    def push(self, token_id: int) -> str:
        """The text, without the space that the first of it begins with."""
        text = self._decoder.push(token_id)
        if not self._begun and text:
            self._begun = True
            return text.removeprefix(" ")
        return text

    def peek(self, token_id: int) -> str:
        """See `Decoder.peek`."""
        text = self._decoder.peek(token_id)
        return text if self._begun else text.removeprefix(" ")

    def finish(self) -> str:
        """What was still held back."""
        return self._decoder.finish()

    def __copy__(self) -> AfterSpace:
        copied = AfterSpace(copy.copy(self._decoder))
        copied._begun = self._begun
        return copied
