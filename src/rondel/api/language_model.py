"""Language models in Python: writing, evaluation, scoring and rescoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rondel.api.writing import WritingModel
from rondel.checked import Natural, Positive, checked_methods
from rondel.errors import InputError, require, warn_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.evaluation.cache import Cache
    from rondel.evaluation.dynamic_settings import DynamicSettings
    from rondel.evaluation.evaluate import Evaluation
    from rondel.evaluation.rescoring import Hypothesis, RescoreKeywords
    from rondel.evaluation.score_rows import Columns
    from rondel.evaluation.scoring import MakeReader, ScoringSettings
    from rondel.evaluation.text_blocks import Blocks
    from rondel.evaluation.text_sources import RunSplit, TextFiles
    from rondel.text.tokenizers import Tokenizer


@checked_methods
class LanguageModel(WritingModel):
    """A trained language model: sample from it, evaluate and score texts. Needs no PyTorch.

    ::

        model = rondel.load("runs/book/best")
        model.sample("The ", length=300, temperature=0.8, seed=1)
        model.evaluate(text).bits_per_character
        model.score("The rain in Spain.", by="word")
    """

    def evaluate(
        self,
        text: str | TextFiles | RunSplit,
        watch: Callable[[float], None] = lambda fraction: None,
        *,
        cache: Cache | None = None,
        dynamic: DynamicSettings | None = None,
    ) -> Evaluation:
        """How likely the model finds a text, read in order from the zero state.

        The text is a string, files of any size (`rondel.TextFiles`) or a part of the text of its
        run (`rondel.RunSplit`). Where that has documents, each is read from the zero state.

        With a `cache` (`rondel.evaluation.cache.Cache`), what came lately is expected again. With
        `dynamic`, a copy of the model goes on learning from the text, as `evaluate_dynamically` has
        it. `watch` is told now and then what fraction is done. Raises `InputError` for a text of
        fewer than two tokens, or of which the model knows none, and what reading it raises.
        """
        from rondel.evaluation.evaluate import evaluate

        if cache is not None and dynamic is not None:
            raise InputError("a cache and dynamic evaluation: one at a time")
        with self._blocks(text) as (blocks, count):
            if dynamic is not None:
                store = self._run_store()
                training_ids = None if store is None else store.tokens("train")
                return self._evaluate_dynamically(blocks, count, dynamic, training_ids, watch)
            return evaluate(
                self._engine, self.tokenizer, blocks, watch, cache=cache, characters=count
            )

    def evaluate_tokens(
        self,
        ids: npt.NDArray[np.integer[Any]],
        characters: Natural,
        watch: Callable[[float], None] = lambda fraction: None,
        *,
        cache: Cache | None = None,
        text: str | None = None,
    ) -> Evaluation:
        """As `evaluate`, for token ids (N,) that stand for so many characters of text.

        If the first is of an unknown word, its length is known only with the `text`.
        """
        from rondel.evaluation.evaluate import evaluate

        blocks, count = _blocks_of(self.tokenizer, ids, characters, text)
        return evaluate(self._engine, self.tokenizer, blocks, watch, cache=cache, characters=count)

    def evaluate_dynamically(
        self,
        ids: npt.NDArray[np.integer[Any]],
        characters: Natural,
        settings: DynamicSettings | None = None,
        *,
        training_ids: npt.NDArray[np.integer[Any]] | None = None,
        watch: Callable[[float], None] = lambda fraction: None,
        text: str | None = None,
    ) -> Evaluation:
        """As `evaluate_tokens`, with a copy of the model that goes on learning from the text.

        Its steps are scaled by its gradients on the text it was trained on, if `training_ids` are
        given. Needs PyTorch. Raises `MissingExtraError` without it, and `InputError` for a model of
        another kind than `language-model`.
        """
        blocks, count = _blocks_of(self.tokenizer, ids, characters, text)
        return self._evaluate_dynamically(blocks, count, settings, training_ids, watch)

    def _evaluate_dynamically(
        self,
        blocks: Blocks,
        characters: int | None,
        settings: DynamicSettings | None,
        training_ids: npt.NDArray[np.integer[Any]] | None,
        watch: Callable[[float], None],
    ) -> Evaluation:
        require("torch", "train")
        from rondel.evaluation.dynamic_settings import DynamicSettings
        from rondel.training.dynamic import evaluate_dynamically

        return evaluate_dynamically(
            self._parts,
            blocks,
            settings or DynamicSettings(),
            training_ids=training_ids,
            watch=watch,
            characters=characters,
        )

    @contextmanager
    def _blocks(self, text: str | TextFiles | RunSplit) -> Iterator[tuple[Blocks, int | None]]:
        """The blocks of a text to evaluate, and its characters if they are not those of these."""
        from rondel.evaluation.evaluate import blocks_of_text, text_blocks
        from rondel.evaluation.scoring import refuse_unknown
        from rondel.evaluation.text_sources import RunSplit
        from rondel.evaluation.token_blocks import TokenBlocks

        if isinstance(text, str):
            blocks = blocks_of_text(self.tokenizer, text)
            refuse_unknown(blocks)
            yield blocks, None
        elif isinstance(text, RunSplit):
            store = self._run_store(required=True)
            if not store.splits[text.name].tokens:
                raise InputError(
                    f"this run has no {text.name} split; name another --split, or a TEXT"
                )
            of_split = TokenBlocks.of_split(self.tokenizer, store, text.name)
            yield of_split, store.splits[text.name].characters
        else:
            with text.stored(as_bytes=self.tokenizer.reads_bytes) as stored:
                blocks = text_blocks(self.tokenizer, [stored])
                refuse_unknown(blocks)
                yield blocks, None

    def score(
        self,
        text: str,
        *,
        by: str = "token",
        unit: str = "bits",
        reset: bool = False,
        start: str | None = None,
        end: bool = False,
        context: str = "",
        batch_size: Positive = 64,
        causal: bool = False,
    ) -> Columns:
        """How likely the model finds each part of a text: arrays of one length by name, a table.

        `by` is `token`, `character`, `word`, `line` or `document`, and `unit` bits or nats. The
        text is read as one, from the zero state, or with `reset` each line for itself. What its
        first token is predicted from is the `context`, if there is one, or the `start`: `newline`,
        a line break, or `skip`, nothing, and it is not scored; the first of these that the model
        can do. With `end`, a line break that ends the text is scored too, written there or not.

        A bidirectional model scores each token given all the others, in columns called
        `pseudo_surprisal_…`, which compare with no other model's; with `causal`, its causal half
        scores.

        `rondel.evaluation.scoring.score` lists the columns; `rondel.evaluation.grouping` explains
        where a word ends. Raises `InputError` for an invalid setting, or a text too short to score.
        """
        from rondel.evaluation.framing import Framing
        from rondel.evaluation.scoring import ScoringSettings

        framing = Framing(start, end, context)
        settings = ScoringSettings(by, unit, reset, framing, batch_size, causal)
        (table,) = self.score_many([text], settings)
        self._warn_of_unknowns([context])
        return table

    def score_many(
        self,
        documents: Sequence[str],
        settings: ScoringSettings,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> list[Columns]:
        """As `score`, for several texts read side by side; `watch` is told what fraction is done.

        Settings are told as a whole: see `rondel.evaluation.scoring.ScoringSettings`.
        """
        from rondel.evaluation.scoring import score_by

        make = self.score_reader(settings)
        return score_by(make, self.tokenizer, documents, settings, watch)

    def score_files(
        self,
        text: TextFiles,
        settings: ScoringSettings,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> Iterator[Columns]:
        """Yield the table of `score` for files of any size in parts, as they are made.

        Put together they are the whole table. `begin` and `end` are places in the file, if it is
        one file of text. Where it has documents, each is read from the zero state, and the column
        `number` says which one a row is of, from 1; positions are counted in each, and places and
        lines in all of the text. Raises what reading and `score` raise.
        """
        from rondel.evaluation.scoring import score_texts, with_places

        make = self.score_reader(settings)
        with text.stored(as_bytes=self.tokenizer.reads_bytes, keep_places=True) as stored:
            for part in score_texts(make, self.tokenizer, [stored], settings, watch):
                if part.table:
                    yield with_places(part, stored, long_text=str)

    def score_reader(self, settings: ScoringSettings) -> MakeReader:
        """What reads a text that is scored: see `rondel.evaluation.scoring.score_texts`.

        Raises `InputError` for settings that another kind of model has.
        """
        from rondel.evaluation.scoring import passage_reader

        if settings.causal:
            raise InputError("this model is causal and scores as such; leave out what asks for it")
        return lambda blocks: passage_reader(self._engine, self.tokenizer, settings)

    def rescore(
        self,
        hypotheses: Iterable[tuple[str, float, str] | Hypothesis],
        **settings: Unpack[RescoreKeywords],
    ) -> Columns:
        """Put n-best hypotheses, each (id, score, text), into a new order: a table.

        `settings` are those of `rondel.evaluation.rescoring.rescore`: `weight` of the model's score
        beside the first pass's, `normalize` by length in tokens, words or characters, `context`,
        and `unknown_penalty`, in nats for each unknown word: without it, they are warned of.
        """
        from rondel.evaluation.rescoring import (
            hypotheses_from_rows,
            rescore,
            unknown_token_warning,
        )

        rows = hypotheses_from_rows(hypotheses)
        table = rescore(self._engine, self.tokenizer, rows, **settings)
        self._warn_of_unknowns([settings.get("context", "")])
        complaint = unknown_token_warning(self.tokenizer, table)
        if complaint is not None and settings.get("unknown_penalty") is None:
            warn_of(complaint)
        return table


def _blocks_of(
    tokenizer: Tokenizer, ids: npt.NDArray[np.integer[Any]], characters: int, text: str | None
) -> tuple[Blocks, int | None]:
    """The blocks of token ids, or of the text that they are of, and the characters of ids."""
    from rondel.evaluation.evaluate import blocks_of_text
    from rondel.evaluation.token_blocks import TokenBlocks

    if text is None:
        return TokenBlocks.of(tokenizer, ids), characters
    return blocks_of_text(tokenizer, text), None
