"""Evaluate n-gram models on the same tokens of the same text, as baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.evaluation.evaluate import Evaluation, evaluation_from_nats, refuse_too_short
from rondel.evaluation.ngram import NGramModel
from rondel.text.tokenizers import Tokenizer

Ids = npt.NDArray[np.integer[Any]]
ORDERS = (1, 2, 3, 4, 5, 6)


def evaluate_ngrams(
    tokenizer: Tokenizer, training_ids: Ids, ids: Ids, characters: int, text: str | None = None
) -> dict[int, Evaluation]:
    """Evaluate token ids (N,) with n-gram models of orders 1 to 6, by order.

    They use the tokenizer's vocabulary and interpolated modified Kneser-Ney smoothing, are fitted
    to `training_ids`, and score all tokens but the first, as `evaluate` does. Raises `InputError`
    below two tokens or for an empty training text.
    """
    refuse_too_short(ids)
    if not len(training_ids):
        raise InputError("there is no text to count n-grams in; give one")
    figures = {}
    for order in ORDERS:
        model = NGramModel(order, tokenizer.vocab_size).fit(training_ids)
        nats = float(model.surprisals(ids)[1:].sum())
        figures[order] = evaluation_from_nats(tokenizer, ids, characters, nats, text)
    return figures
