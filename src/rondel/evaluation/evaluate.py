"""The loss of a whole text, read in order with the state carried, and the units it is told in.

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
from rondel.evaluation.cache import Cache, cached_surprisals
from rondel.evaluation.measures import Surprisal
from rondel.evaluation.reading import Watch, read, unwatched
from rondel.evaluation.units import count_words
from rondel.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Evaluation:
    """How a model did on a text.

    The first token is context and is not scored, since nothing comes before it: `tokens`, `words`
    and `characters` count what was scored; a word is whatever stands between white space. `nats` is
    the total negative log-likelihood; `unknown` how many of the scored tokens the vocabulary lacks
    (they are scored as `<unk>`).

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
        """Mean negative log-likelihood of a token."""
        return self.nats / self.tokens

    @property
    def bits_per_character(self) -> float:
        """The same per character of text, in bits: what models of all levels compare by."""
        return self.nats / math.log(2) / self.characters

    @property
    def perplexity(self) -> float:
        """Perplexity per token."""
        return math.exp(min(self.nats_per_token, 700.0))

    @property
    def perplexity_per_word(self) -> float | None:
        """Perplexity per word, its white space included, whatever a token is; `None` of no word."""
        return math.exp(min(self.nats / self.words, 700.0)) if self.words else None

    def to_json(self) -> dict[str, float | int | None]:
        """Every figure, under its name with its unit."""
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
    """Score token ids (N,) that stand for so many `characters` of text, from the zero state.

    The `text` itself tells more exactly what the first of them, which is not scored, stands for: an
    unknown word has no length of its own. With a `cache`, what was read lately is more likely to
    come again (see `cache`). `watch` is told now and then what fraction is done. Raises
    `InputError` below two tokens.
    """
    refuse_too_short(ids)
    if cache is not None:
        nats = float(cached_surprisals(engine, ids, cache, watch).sum())
    else:
        (nats_1N,) = read(engine, tokenizer.vocab_size, [ids], Surprisal(), watch=watch)
        nats = float(nats_1N.sum())
    return evaluation_of(tokenizer, ids, characters, nats, text)


def refuse_too_short(ids: Ids) -> None:
    """Raise `InputError` for fewer than two tokens."""
    if len(ids) < 2:
        raise InputError(
            f"this text has {len(ids)} tokens, and scoring takes at least two: one to come after"
        )


def evaluation_of(
    tokenizer: Tokenizer, ids: Ids, characters: int, nats: float, text: str | None = None
) -> Evaluation:
    """The figures of a text whose tokens (N,) but the first have so many nats in all."""
    unknown = 0 if tokenizer.unknown_id is None else int((ids[1:] == tokenizer.unknown_id).sum())
    if text is None:
        first = len(tokenizer.decode(ids[:1].tolist()))
        words = count_words(tokenizer.decode(ids.tolist())[first:])
    else:
        spans = tokenizer.spans(text)
        if not len(spans):
            raise InputError("the text of these tokens is empty; give the one that they are of")
        first = int(spans[0, 1])
        words, characters = count_words(text[first:]), len(text)
    return Evaluation(nats, len(ids) - 1, words, max(1, characters - first), unknown)
