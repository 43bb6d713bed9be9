"""From a prime to the point where generation starts.

Shapes: T time, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rondel.engine import Engine, EngineState
from rondel.engine.base import Floats, Ids
from rondel.errors import InputError
from rondel.generation.logprobs import TokenLogprob, token_logprob
from rondel.text.tokenizers import Decoder, Tokenizer
from rondel.text.tokenizers.base import texts_of

CHUNK = 256
"""Steps of a prime read at a time, so that a long one needs no more memory."""


class Start(NamedTuple):
    """All that is known before the first token: nothing of it depends on how one is chosen."""

    ids: Ids
    """The prime's tokens (N,)."""
    logits_V: Floats
    state: EngineState
    decoder: Decoder
    """Has written the prime; what it gives from here on continues that text."""

    def again(self) -> Start:
        """The same for one more text: of all this, only the decoder changes as a text goes on."""
        return self._replace(decoder=copy.copy(self.decoder))


def check_prime(prime: str) -> None:
    """Raise `InputError` if there is no text: a model has no sign for the beginning of one."""
    if not prime:
        raise InputError("there is nothing to continue: give a prime of at least one character")


class PrimeReading:
    """A model's run over a prime, in parts, so that others need not wait for a long one.

    The prime is text, or its token ids (N,). With `logprobs`, its tokens are `told` of, and so many
    likeliest ones of each. Raises `InputError` if there is no text.
    """

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, prime: str | Ids, logprobs: int | None = None
    ) -> None:
        self._engine, self._tokenizer, self._logprobs = engine, tokenizer, logprobs
        self._texts: list[str] | None = None
        if isinstance(prime, str):
            check_prime(prime)
            self.text, text = prime, without_implied_space(tokenizer, prime)
            self._ids = tokenizer.encode(text)
            if logprobs is not None:
                self._texts = texts_of(prime, tokenizer.spans(text))
        else:
            self.text, self._ids = tokenizer.decode(prime.tolist()), prime
        self._state = engine.initial_state()
        self._decoder = tokenizer.decoder()
        self._read = 0
        self._logits_V: Floats | None = None
        self.told: list[TokenLogprob] = []

    @property
    def tells(self) -> bool:
        """Whether its tokens are told of."""
        return self._logprobs is not None

    @property
    def left(self) -> int:
        """How many tokens are still to be read."""
        return len(self._ids) - self._read

    def go_on(self, tokens: int = CHUNK) -> None:
        """Read up to so many more tokens."""
        read_together([self], tokens)

    def _tell(self, block: Ids, logits_TV: Floats) -> None:
        assert self._logprobs is not None
        logits_V = self._logits_V
        for token, after_V in zip(block.tolist(), logits_TV, strict=True):
            told = token_logprob(
                self._tokenizer, self._decoder, token, logits_V, self._logprobs, writable=False
            )
            if self._texts is not None:
                told = told.spelled(self._texts[len(self.told)])
            self.told.append(told)
            logits_V = after_V

    def _went_on(self, block: Ids, logits_V: Floats | None, state: EngineState) -> None:
        self._read += len(block)
        self._logits_V, self._state = logits_V, state
        if not self.tells:
            for token in block.tolist():
                self._decoder.push(token)

    def start(self) -> Start:
        """Where the text starts that goes on from it, now that nothing is left to read."""
        assert self._logits_V is not None
        decoder = self._decoder
        # The prime may end with part of a character's bytes, and has shown them: they are not
        # to be shown again with the others.
        decoder.finish()
        if self._tokenizer.implies_space and self.text[-1].isspace():
            decoder = _AfterSpace(decoder)
        return Start(self._ids, self._logits_V, self._state, decoder)


def read_together(readings: Sequence[PrimeReading], tokens: int) -> None:
    """Go on with several, by as many tokens as each has left, but at most so many.

    All are by one engine, and either all of them tell or none. A row of a compiled engine is what
    it would be alone, and several take hardly longer than one.
    """
    engine, count = readings[0]._engine, min(tokens, *(one.left for one in readings))
    blocks = [one._ids[one._read : one._read + count] for one in readings]
    tokens_TB = np.stack(blocks, axis=1)
    state = tuple(
        np.concatenate(parts, axis=1)
        for parts in zip(*(one._state for one in readings), strict=True)
    )
    logits_BV: Floats | None = None
    if readings[0].tells:
        logits_TBV, state = engine.sequence(tokens_TB, state)
        for row, one in enumerate(readings):
            one._tell(blocks[row], logits_TBV[:, row])
        logits_BV = logits_TBV[-1]
    else:
        # Only what comes after a whole prime is asked for, and the head is much of a step.
        ending = any(one.left == count for one in readings)
        before_last = tokens_TB[:-1] if ending else tokens_TB
        if len(before_last):
            state = engine.advance(before_last, state)
        if ending:
            logits_BV, state = engine.step(tokens_TB[-1], state)
    for row, one in enumerate(readings):
        own = tuple(np.ascontiguousarray(part[:, row : row + 1]) for part in state)
        one._went_on(blocks[row], None if logits_BV is None else logits_BV[row].copy(), own)


def read_prime(engine: Engine, tokenizer: Tokenizer, prime: str) -> Start:
    """Run a model over the text that generation is to continue.

    Raises `InputError` if there is no text.
    """
    reading = PrimeReading(engine, tokenizer, prime)
    while reading.left:
        reading.go_on()
    return reading.start()


def without_implied_space(tokenizer: Tokenizer, prime: str) -> str:
    """The prime as its text would go on: at word level, a space before a word is no token.

    "The " would end in a token for a space at the very end of a text, which "The cat" has not.
    """
    word = prime.removesuffix(" ")
    implied = tokenizer.implies_space and word != prime and word[-1:].strip() != ""
    return word if implied else prime


class _AfterSpace:
    """A decoder whose prime ended in a space already, so that it writes no other."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._begun = False

    def push(self, token_id: int) -> str:
        text = self._decoder.push(token_id)
        if not self._begun and text:
            self._begun = True
            return text.removeprefix(" ")
        return text

    def finish(self) -> str:
        return self._decoder.finish()

    def __copy__(self) -> _AfterSpace:
        copied = _AfterSpace(copy.copy(self._decoder))
        copied._begun = self._begun
        return copied
