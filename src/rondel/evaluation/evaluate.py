"""The loss of a whole text, read in order with the state carried, and the units it is told in.

Shapes: T time, B batch, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.measures import Surprisal
from rondel.evaluation.reading import read
from rondel.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Evaluation:
    """How a model did on a text.

    The first token is context and is not scored, since nothing comes before it: `tokens` and
    `characters` count what was scored. `nats` is the total negative log-likelihood; `unknown` how
    many of the scored tokens the vocabulary lacks (they are scored as `<unk>`).
    """

    nats: float
    tokens: int
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

    def to_json(self) -> dict[str, float | int]:
        """Every figure, under its name with its unit."""
        return {
            "nats_per_token": self.nats_per_token,
            "bits_per_character": self.bits_per_character,
            "perplexity_per_token": self.perplexity,
            "tokens": self.tokens,
            "characters": self.characters,
            "unknown_tokens": self.unknown,
        }


def evaluate(
    engine: Engine,
    tokenizer: Tokenizer,
    ids: Ids,
    characters: int,
    watch: Callable[[float], None] = lambda fraction: None,
) -> Evaluation:
    """Score token ids (N,) that stand for so many `characters` of text, from the zero state.

    `watch` is told now and then what fraction is done. Raises `InputError` below two tokens.
    """
    count = len(ids) - 1
    if count < 1:
        raise InputError(
            f"this text has {len(ids)} tokens, and scoring takes at least two: one to come after"
        )
    (nats_1N,) = read(engine, tokenizer.vocab_size, [ids], Surprisal(), watch=watch)
    unknown = 0 if tokenizer.unknown_id is None else int((ids[1:] == tokenizer.unknown_id).sum())
    first = len(tokenizer.decode(ids[:1].tolist()))
    return Evaluation(float(nats_1N.sum()), count, max(1, characters - first), unknown)
