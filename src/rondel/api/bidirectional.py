"""Bidirectional models in Python: filling, scoring from both sides, Gibbs sampling, embeddings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from rondel.api.language_model import LanguageModel
from rondel.artifact import Artifact
from rondel.checked import Natural, Positive, checked_methods
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.errors import InputError
from rondel.evaluation.cloze import ClozeEvaluation, cloze_reader, evaluate_cloze
from rondel.evaluation.contextual import Embeddings, embed
from rondel.evaluation.scoring import MakeReader, ScoringSettings, passage_reader
from rondel.evaluation.text_sources import RunSplit, TextFiles
from rondel.evaluation.token_blocks import TokenBlocks
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.search.filling import Filled, FillSettings, fill
from rondel.generation.search.gibbs import gibbs

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.generation.generation_settings import RuleKeywords
    from rondel.generation.search.filling import FillKeywords


@checked_methods
class BidirectionalModel(LanguageModel):
    """A model that reads a text in both directions; its causal half is a language model.

    ::

        model = rondel.load("runs/both")
        model.fill("a man ___ a horse")
        model.score("The rain in Spain.", by="word")["pseudo_surprisal_bits"]
    """

    def __init__(
        self, parts: Artifact, *, precision: str = "fp32", threads: int | None = None
    ) -> None:
        super().__init__(parts, precision=precision, threads=threads)
        if precision != "fp32":
            raise InputError(f"a bidirectional model runs in fp32 only; leave {precision} out")

    def score_reader(self, settings: ScoringSettings) -> MakeReader:
        """See `LanguageModel.score_reader`: from both sides, or with `causal` by that half."""
        if settings.causal:
            return lambda blocks: passage_reader(self._engine, self.tokenizer, settings)
        return lambda blocks: cloze_reader(self._both_sides, blocks)

    def evaluate_cloze(
        self,
        text: str | TextFiles | RunSplit,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> ClozeEvaluation:
        """Evaluate how well the model predicts each token of a text from all the others.

        The text is as for `evaluate`. The results are pseudo-log-likelihoods, not comparable with
        those of `evaluate`, which uses the causal half. Raises `InputError` for an empty text.
        """
        with self._blocks(text) as (blocks, count):
            return evaluate_cloze(self._both_sides, self.tokenizer, blocks, watch, characters=count)

    def evaluate_cloze_tokens(
        self,
        ids: npt.NDArray[np.integer[Any]],
        characters: Natural,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> ClozeEvaluation:
        """As `evaluate_cloze`, for token ids (N,) that stand for so many characters of text."""
        blocks = TokenBlocks.of(self.tokenizer, ids)
        return evaluate_cloze(
            self._both_sides, self.tokenizer, blocks, watch, characters=characters
        )

    def fill(
        self,
        text: str,
        watch: Callable[[float], None] = lambda fraction: None,
        **settings: Unpack[FillKeywords],
    ) -> list[Filled]:
        """Return the best ways to fill the gaps of a text, which are marked `___`, best first.

        `settings` are those of `rondel.generation.search.filling.FillSettings`: `gap`, another
        mark; `length` in tokens, if it is known, or else `max_length`; `best`, how many to return.
        `watch` is called with the fraction that is done. Raises `InputError` for a text without a
        gap.
        """
        return fill(self._both_sides, self.tokenizer, text, FillSettings(**settings), watch)

    def gibbs(
        self,
        text: str,
        *,
        sweeps: Positive = 20,
        seed: Natural | None = None,
        index: Natural = 0,
        **rules: Unpack[RuleKeywords],
    ) -> Iterator[str]:
        """Yield the text after each of `sweeps` sweeps, in which every token is drawn again.

        Each is drawn given all the others; `seed`, `index` and `rules` are as for `stream`. Raises
        `InputError` for an empty text.
        """
        settings = GenerationSettings(seed=seed, rules=rules)
        return gibbs(self._both_sides, self.tokenizer, text, sweeps, settings, index)

    @overload
    def embed(self, text: str) -> Embeddings: ...
    @overload
    def embed(self, text: list[str] | tuple[str, ...]) -> list[Embeddings]: ...
    def embed(self, text: str | list[str] | tuple[str, ...]) -> Embeddings | list[Embeddings]:
        """Return the states at each token and word of a text, or of several.

        Several texts are read in batches, with the same results as one by one. See
        `rondel.evaluation.contextual.Embeddings` for shapes.
        """
        if isinstance(text, str):
            return embed(self._both_sides, self.tokenizer, [text])[0]
        return embed(self._both_sides, self.tokenizer, text)

    @functools.cached_property
    def _both_sides(self) -> BidirectionalEngine:
        return BidirectionalEngine(self.config, self.weights)
