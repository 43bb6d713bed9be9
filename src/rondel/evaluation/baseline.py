"""Evaluate n-gram models on the same tokens of the same text, as baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from rondel.errors import InputError
from rondel.evaluation.block_reading import Progress
from rondel.evaluation.evaluate import Evaluation, evaluate_by
from rondel.evaluation.measures import Measured
from rondel.evaluation.ngram import NGramModel, count_ngrams
from rondel.evaluation.text_blocks import Block, Blocks
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Ids

ORDERS = (1, 2, 3, 4, 5, 6)


def evaluate_ngrams(
    tokenizer: Tokenizer, training: Blocks, blocks: Blocks
) -> dict[int, Evaluation]:
    """Evaluate blocks with n-gram models of orders 1 to 6, by order.

    They use the tokenizer's vocabulary and interpolated modified Kneser-Ney smoothing, are fitted
    to the blocks `training`, and score all tokens but the first of each document, as `evaluate`
    does. Raises `InputError` if no token comes after another, or for an empty training text.
    """
    if not training.size:
        raise InputError("there is no text to count n-grams in; give one")
    counts = count_ngrams(lambda: _ids_of(training), max(ORDERS), tokenizer.vocab_size)
    return {
        order: evaluate_by(
            _surprisals(NGramModel(order, tokenizer.vocab_size).fit_counts(counts)),
            tokenizer,
            blocks,
        )
        for order in ORDERS
    }


def _ids_of(blocks: Blocks) -> Iterator[Ids]:
    return (block.ids for block in blocks)


def _surprisals(
    model: NGramModel,
) -> Callable[[Iterable[Block], Progress], Iterator[tuple[Block, Measured]]]:
    """What gives the values of blocks: the surprisals of all tokens but each passage's first."""

    def read(blocks: Iterable[Block], progress: Progress) -> Iterator[tuple[Block, Measured]]:
        context = np.empty(0, np.int64)
        for block in blocks:
            values = [np.empty(0)]
            for part in block.parts:
                if part.begins:
                    context = context[:0]
                ids = np.concatenate([context, part.ids])
                begin = max(len(context), int(part.begins))
                values.append(model.surprisals(ids)[begin:])
                context = ids[max(0, len(ids) - model.order + 1) :]
            yield block, np.concatenate(values)

    return read
