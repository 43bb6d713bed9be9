"""The loss of a whole text, read in order with the state carried, in several units.

Shapes: N tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, unwatched
from rondel.evaluation.block_reading import PassageReader, Progress
from rondel.evaluation.cache import Cache, cached_surprisals
from rondel.evaluation.framing import Framing
from rondel.evaluation.measures import Measured, Surprisal
from rondel.evaluation.text_blocks import BLOCK, Block, Blocks, TextBlocks
from rondel.evaluation.totals import Total, WordCount
from rondel.text.stored import StoredText
from rondel.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.integer[Any]]
Read = Callable[[Iterator[Block], Progress], Iterator[tuple[Block, Measured]]]
"""Gives every block with values of tokens (n,), in nats, which may be those of earlier blocks."""


@dataclass(frozen=True)
class Evaluation:
    """A model's loss on a text.

    The first token (of each document) has no context and is not scored. `tokens`, `words`
    (separated by white space) and `characters` count what was scored. `nats` is the total negative
    log-likelihood; `unknown` counts the scored tokens that are not in the vocabulary (they are
    scored as `<unk>`).

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
    blocks: Blocks,
    watch: Watch = unwatched,
    *,
    cache: Cache | None = None,
    characters: int | None = None,
) -> Evaluation:
    """Score the documents of blocks, each from the zero state.

    With a `cache`, recent tokens become more likely (see the module `cache`). `watch` is called
    with the fraction done. `characters` are those of the text, if the blocks' texts may have
    others. Raises `InputError` if no token comes after another.
    """

    def read(blocks: Iterator[Block], progress: Progress) -> Iterator[tuple[Block, Measured]]:
        if cache is not None:
            return cached_surprisals(engine, blocks, cache, progress)
        reader = PassageReader(engine, tokenizer, Surprisal())
        return ((block, values_1N[0]) for block, values_1N, _ in reader.read(blocks, progress))

    return evaluate_by(read, tokenizer, blocks, watch, characters=characters)


def evaluate_by(
    read: Read,
    tokenizer: Tokenizer,
    blocks: Blocks,
    watch: Watch = unwatched,
    *,
    characters: int | None = None,
) -> Evaluation:
    """The evaluation of blocks that `read` gives the values of, as for `evaluate`."""
    tally, nats = Tally(tokenizer), Total()
    for block, values_N in read(iter(blocks), Progress(blocks, watch)):
        tally.add(block)
        nats.add(values_N[~np.isnan(values_N)])
    found = tally.evaluation(nats.sum, characters)
    watch(1.0)
    return found


class Tally:
    """Counts what of a text's blocks is scored: all but the first token of each document."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._words = tokenizer, WordCount()
        self._tokens = self._unscored = self._characters = self._unknown = 0
        self._before_first = True

    def add(self, block: Block) -> None:
        """Count the next block."""
        if block.begins:
            self._words.end()
            self._before_first = True
        ids, text = block.ids, block.text
        self._tokens += len(ids)
        self._characters += len(text)
        if self._before_first and len(ids):
            first = self._end_of_first(block)
            self._unscored += first
            self._before_first = False
            self._tokens -= 1
            ids, text = ids[1:], text[first:]
        if not self._before_first:
            self._words.add(text)
        if self._tokenizer.unknown_id is not None:
            self._unknown += int((ids == self._tokenizer.unknown_id).sum())

    def evaluation(self, nats: float, characters: int | None = None) -> Evaluation:
        """The evaluation with a total of `nats`; `InputError` if nothing was scored."""
        if self._tokens < 1:
            raise InputError(
                "this text has nothing to score: no token comes after another; scoring needs at "
                "least two, one of them as context"
            )
        scored = (self._characters if characters is None else characters) - self._unscored
        return Evaluation(nats, self._tokens, self._words.words, max(1, scored), self._unknown)

    def _end_of_first(self, block: Block) -> int:
        """Where the first token of a document ends, in characters of its first block."""
        if block.spans[0, 1]:
            return int(block.spans[0, 1])
        return int(self._tokenizer.spans(block.text)[0, 1])


def text_blocks(tokenizer: Tokenizer, texts: Sequence[StoredText]) -> TextBlocks:
    """The blocks of stored texts, to be evaluated."""
    return TextBlocks(list(texts), tokenizer, Framing(start="skip"), with_spans=False)


def blocks_of_text(tokenizer: Tokenizer, text: str) -> TextBlocks:
    """The blocks of a text, to be evaluated."""
    stored = StoredText.of(text, holds_bytes=tokenizer.reads_bytes, block=BLOCK)
    return text_blocks(tokenizer, [stored])
