"""Language models in Python: writing, evaluation, scoring and rescoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
    from rondel.evaluation.scoring import Columns, ScoringSettings


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
        text: str,
        watch: Callable[[float], None] = lambda fraction: None,
        *,
        cache: Cache | None = None,
    ) -> Evaluation:
        """How likely the model finds a text, read in order from the zero state.

        With a `cache` (`rondel.evaluation.cache.Cache`), what came lately is expected again.
        `watch` is told now and then what fraction is done. Raises `InputError` for a text of fewer
        than two tokens, or of which the model knows none.
        """
        from rondel.evaluation.scoring import refuse_unknown

        refuse_unknown(self.tokenizer, text)
        ids = self.tokenizer.encode(text)
        return self.evaluate_tokens(ids, len(text), watch, cache=cache, text=text)

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

        return evaluate(
            self._engine, self.tokenizer, ids, characters, watch, cache=cache, text=text
        )

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
        require("torch", "train")
        from rondel.evaluation.dynamic_settings import DynamicSettings
        from rondel.training.dynamic import evaluate_dynamically

        chosen = settings or DynamicSettings()
        return evaluate_dynamically(
            self._parts, ids, characters, chosen, training_ids=training_ids, watch=watch, text=text
        )

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
        from rondel.evaluation.scoring import score

        if settings.causal:
            raise InputError("this model is causal and scores as such; leave out what asks for it")
        return score(self._engine, self.tokenizer, documents, settings, watch)

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
