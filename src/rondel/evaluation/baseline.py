"""What a neural model has to beat: n-gram models of the same tokens, of the same text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.evaluation.evaluate import Evaluation, evaluation_of, refuse_too_short
from rondel.evaluation.ngram import NGramModel
from rondel.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.integer[Any]]
ORDERS = (1, 2, 3, 4, 5, 6)


def evaluate_ngrams(
    tokenizer: Tokenizer, training_ids: Ids, ids: Ids, characters: int, text: str | None = None
) -> dict[int, Evaluation]:
    """The figures of token ids (N,) by n-gram models of every order from 1 to 6.

    They have the model's vocabulary, are counted on `training_ids`, and score all tokens but the
    first, as `evaluate` does: with interpolated modified Kneser-Ney smoothing. Raises `InputError`
    below two tokens or for an empty text to count.
    """
    refuse_too_short(ids)
    if not len(training_ids):
        raise InputError("there is no text to count n-grams in; give one")
    figures = {}
    for order in ORDERS:
        counted = NGramModel(order, tokenizer.vocab_size).fit(training_ids)
        nats = float(counted.surprisals(ids)[1:].sum())
        figures[order] = evaluation_of(tokenizer, ids, characters, nats, text)
    return figures
