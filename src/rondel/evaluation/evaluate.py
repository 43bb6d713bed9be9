"""The loss of a whole text, read in order with the state carried, in several units.

Shapes: N tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, read, unwatched
from rondel.evaluation.cache import Cache, cached_surprisals
from rondel.evaluation.grouping import count_words
from rondel.evaluation.measures import Surprisal
from rondel.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Evaluation:
    """A model's loss on a text.

    The first token has no context and is not scored. `tokens`, `words` (separated by white space)
    and `characters` count what was scored. `nats` is the total negative log-likelihood; `unknown`
    counts the scored tokens that are not in the vocabulary (they are scored as `<unk>`).

    ::

        found = model.evaluate("The rain in Spain.")
        found.bits_per_character, found.perplexity
    """

    nats: float
    tokens: int
    words: int
    characters: int
    unknown: int

    @property
    def nats_per_token(self) -> float:
        """Mean negative log-likelihood per token."""
        return self.nats / self.tokens

    @property
    def bits_per_character(self) -> float:
        """Bits per character of text: comparable between tokenizers."""
        return self.nats / math.log(2) / self.characters

    @property
    def perplexity(self) -> float:
        """Perplexity per token."""
        return math.exp(min(self.nats_per_token, 700.0))

    @property
    def perplexity_per_word(self) -> float | None:
        """Perplexity per word, white space included, for any tokenizer; `None` without a word."""
        return math.exp(min(self.nats / self.words, 700.0)) if self.words else None

    def to_json(self) -> dict[str, float | int | None]:
        """All figures, by name with unit."""
        return {
            "nats_per_token": self.nats_per_token,
            "bits_per_character": self.bits_per_character,
            "perplexity_per_token": self.perplexity,
            "perplexity_per_word": self.perplexity_per_word,
            "tokens": self.tokens,
            "words": self.words,
            "characters": self.characters,
            "unknown_tokens": self.unknown,
        }


def evaluate(
    engine: Engine,
    tokenizer: Tokenizer,
    ids: Ids,
    characters: int,
    watch: Watch = unwatched,
    *,
    cache: Cache | None = None,
    text: str | None = None,
) -> Evaluation:
    """Score token ids (N,) of a text of so many `characters`, from the zero state.

    Given the `text`, the length of the first token, which is not scored, is exact even if the token
    is unknown. With a `cache`, recent tokens become more likely (see the module `cache`). `watch`
    is called with the fraction done. Raises `InputError` below two tokens.
    """
    refuse_too_short(ids)
    if cache is not None:
        nats = float(cached_surprisals(engine, ids, cache, watch).sum())
    else:
        (nats_1N,) = read(engine, tokenizer.vocab_size, [ids], Surprisal(), watch=watch)
        nats = float(nats_1N.sum())
    return evaluation_from_nats(tokenizer, ids, characters, nats, text)


def refuse_too_short(ids: Ids) -> None:
    """Raise `InputError` for fewer than two tokens."""
    if len(ids) < 2:
        raise InputError(
            f"this text has {len(ids)} tokens, and scoring needs at least two: one as context"
        )


def evaluation_from_nats(
    tokenizer: Tokenizer, ids: Ids, characters: int, nats: float, text: str | None = None
) -> Evaluation:
    """The evaluation of token ids (N,) with a total of `nats` over all tokens but the first."""
    unknown = 0 if tokenizer.unknown_id is None else int((ids[1:] == tokenizer.unknown_id).sum())
    if text is None:
        first = len(tokenizer.decode(ids[:1].tolist()))
        words = count_words(tokenizer.decode(ids.tolist())[first:])
    else:
        spans = tokenizer.spans(text)
        if not len(spans):
            raise InputError("the text of these tokens is empty; give the text they encode")
        first = int(spans[0, 1])
        words, characters = count_words(text[first:]), len(text)
    return Evaluation(nats, len(ids) - 1, words, max(1, characters - first), unknown)
