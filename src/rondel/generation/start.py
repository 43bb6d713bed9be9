"""From a prime to the point where generation starts.

Shapes: T time, V vocabulary.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

from rondel.engine import Engine, EngineState
from rondel.engine.base import Floats, Ids
from rondel.errors import InputError
from rondel.text.tokenizers import Decoder, Tokenizer

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


def read_prime(engine: Engine, tokenizer: Tokenizer, prime: str) -> Start:
    """Run a model over the text that generation is to continue.

    Raises `InputError` if there is no text.
    """
    check_prime(prime)
    ids = tokenizer.encode(without_implied_space(tokenizer, prime))
    state = engine.initial_state()
    for begin in range(0, len(ids) - 1, CHUNK):
        state = engine.advance(ids[begin : min(begin + CHUNK, len(ids) - 1), None], state)
    logits_1V, state = engine.step(ids[-1:], state)
    decoder = tokenizer.decoder()
    for token in ids.tolist():
        decoder.push(token)
    if tokenizer.level == "word" and prime[-1].isspace():
        decoder = _AfterSpace(decoder)
    return Start(ids, logits_1V[0], state, decoder)


def without_implied_space(tokenizer: Tokenizer, prime: str) -> str:
    """The prime as its text would go on: at word level, a space before a word is no token.

    "The " would end in a token for a space at the very end of a text, which "The cat" has not.
    """
    word = prime.removesuffix(" ")
    implied = tokenizer.level == "word" and word != prime and word[-1:].strip() != ""
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
