"""N-gram language models over token ids, as baselines for recurrent models.

Interpolated modified Kneser-Ney after Chen & Goodman, "An empirical study of smoothing techniques
for language modeling" (Computer Speech & Language 13, 1999), interpolated down to the uniform
distribution, so that no token of the vocabulary has probability zero.

Shapes: N tokens, V vocabulary, U distinct n-grams of one length, C distinct contexts of one length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self

Ids = npt.NDArray[np.integer[Any]]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Used if a text has too few n-grams that occur once or twice to estimate a discount.
FALLBACK_DISCOUNT = 0.5
# Counts from this one up share one discount.
MAX_COUNT = 3


class _Grams(NamedTuple):
    """The distinct n-grams of one length in a text.

    An n-gram's number is its index in `keys_U`, which is sorted; its key is the number of its first
    n - 1 tokens, times V, plus its last token, so that keys do not grow with n.
    `numbers_N` has the number of the n-gram that begins at each position of the text.
    """

    keys_U: Integers
    counts_U: Integers
    numbers_N: Integers


class _Level(NamedTuple):
    """Lookup tables for the n-grams of one length.

    p(token | context) = share of the n-gram + weight of the context * p(token | shorter context).
    The last entry of `weights_C` is 1, for contexts that do not occur (number -1).
    """

    keys_U: Integers
    shares_U: Floats
    weights_C: Floats


class NGramModel:
    """An n-gram model with interpolated modified Kneser-Ney smoothing.

    `order` is the length of the n-grams: 1 is a unigram model, 5 looks back at four tokens.
    Probabilities over all `vocab_size` tokens sum to one in any context.
    """

    def __init__(self, order: int, vocab_size: int) -> None:
        """Raise `InputError` if either number is less than one."""
        if order < 1:
            raise InputError(f"the order of an n-gram model must be at least 1, not {order}")
        if vocab_size < 1:
            raise InputError(f"a vocabulary must have at least 1 token, not {vocab_size}")
        self.order, self.vocab_size = order, vocab_size
        self._levels: list[_Level] | None = None

    def fit(self, ids: Ids) -> Self:
        """Count the n-grams of a text, ids (N,), replacing earlier counts; returns the model.

        The longest n-grams count their occurrences, shorter ones the different tokens that they
        follow, with the beginning of the text as one more token. Raises `InputError` for an empty
        text or an id outside the vocabulary.
        """
        tokens_N = self._check_ids(ids)
        if not len(tokens_N):
            raise InputError("an n-gram model cannot be fitted to an empty text; give it tokens")
        lengths = _count(tokens_N, self.order, self.vocab_size)
        levels, contexts = [], 1
        for index, grams in enumerate(lengths):
            if index + 1 == self.order:
                counts_U = grams.counts_U
            else:
                counts_U = _continuations(grams, lengths[index + 1 : index + 2])
            levels.append(_discounted(grams.keys_U, counts_U, contexts, self.vocab_size))
            contexts = len(grams.keys_U)
        self._levels = levels
        return self

    def surprisals(self, ids: Ids) -> Floats:
        """-ln p (N,) of each token of a text given up to `order` - 1 tokens before it, in nats.

        The first tokens have shorter contexts. Raises `InputError` for an id outside the vocabulary
        or before `fit`.
        """
        tokens_N = self._check_ids(ids)
        p_N = np.full(len(tokens_N), 1 / self.vocab_size)
        contexts_N = np.zeros(len(tokens_N), np.int64)
        for level in self._fitted():
            numbers_N = _look_up(level.keys_U, contexts_N, tokens_N, self.vocab_size)
            p_N *= level.weights_C[contexts_N]
            p_N += np.where(numbers_N >= 0, level.shares_U[numbers_N], 0.0)
            # The n-gram that ends at a token is the next token's context; the first has none.
            contexts_N = np.concatenate([[-1], numbers_N[:-1]])[: len(tokens_N)]
        surprisals: Floats = -np.log(p_N)
        return surprisals

    def distribution(self, context: Ids | Sequence[int] = ()) -> Floats:
        """p (V,) of the next token given the last `order` - 1 tokens of `context`.

        Raises `InputError` for an id outside the vocabulary or before `fit`.
        """
        tokens = self._check_ids(np.asarray(context, dtype=np.int64))
        levels = self._fitted()
        p_V = np.full(self.vocab_size, 1 / self.vocab_size)
        for length, level in enumerate(levels[: len(tokens) + 1]):
            number = np.zeros(1, np.int64)
            for shorter, token in zip(levels, tokens[len(tokens) - length :], strict=False):
                number = _look_up(shorter.keys_U, number, token, self.vocab_size)
            p_V *= level.weights_C[number]
            if number[0] >= 0:
                begin_key = number[0] * self.vocab_size
                begin, end = np.searchsorted(level.keys_U, [begin_key, begin_key + self.vocab_size])
                p_V[level.keys_U[begin:end] - begin_key] += level.shares_U[begin:end]
        return p_V

    def _check_ids(self, ids: Ids) -> Integers:
        tokens: Integers = ids.astype(np.int64)
        if len(tokens) and (tokens.min() < 0 or tokens.max() >= self.vocab_size):
            raise InputError(
                f"this n-gram model takes token ids from 0 to {self.vocab_size - 1}, and the text "
                f"has {tokens.min()} to {tokens.max()}; set vocab_size to the tokenizer's"
            )
        return tokens

    def _fitted(self) -> list[_Level]:
        if self._levels is None:
            raise InputError("this n-gram model has not been fitted; call fit first")
        return self._levels


def discounts(counts_U: Integers) -> Floats:
    """The discounts (4,) of counts 0, 1, 2, and 3 or more; the first is 0.

    Chen & Goodman's estimates from n1 to n4, the numbers of n-grams with counts 1 to 4. If one of
    these is 0, or an estimate is 0 or the whole count, Ney's single discount n1 / (n1 + 2 n2) is
    used for all counts, or 0.5 if n1 or n2 is 0.
    """
    n1, n2, n3, n4 = (int((counts_U == count).sum()) for count in range(1, MAX_COUNT + 2))
    if not (n1 and n2):
        return np.array([0.0, *[FALLBACK_DISCOUNT] * MAX_COUNT])
    single = n1 / (n1 + 2 * n2)
    if n3 and n4:
        ratios = np.array([n2 / n1, n3 / n2, n4 / n3])
        counts = np.arange(1, MAX_COUNT + 1)
        estimates = counts - (counts + 1) * single * ratios
        if (estimates > 0).all() and (estimates < counts).all():
            return np.concatenate([[0.0], estimates])
    return np.array([0.0, *[single] * MAX_COUNT])


def _count(tokens_N: Integers, order: int, vocab_size: int) -> list[_Grams]:
    """The n-grams of every length from 1 to `order`, at most the text's length."""
    lengths: list[_Grams] = []
    keys = tokens_N
    for length in range(1, min(order, len(tokens_N)) + 1):
        keys_U, numbers_N, counts_U = np.unique(keys, return_inverse=True, return_counts=True)
        numbers_N = numbers_N.reshape(-1)
        lengths.append(_Grams(keys_U, counts_U, numbers_N))
        keys = numbers_N[:-1] * vocab_size + tokens_N[length:]
    return lengths


def _continuations(grams: _Grams, longer: Sequence[_Grams]) -> Integers:
    """How many different tokens precede each n-gram (U,), the text's beginning counted as one.

    `longer` has the n-grams one token longer, and is empty if the text has none.
    """
    counts_U = np.zeros(len(grams.keys_U), np.int64)
    for extended in longer:
        without_first = np.empty(len(extended.keys_U), np.int64)
        without_first[extended.numbers_N] = grams.numbers_N[1:]
        counts_U += np.bincount(without_first, minlength=len(counts_U))
    counts_U[grams.numbers_N[0]] += 1
    return counts_U


def _discounted(keys_U: Integers, counts_U: Integers, contexts: int, vocab_size: int) -> _Level:
    """Discount the n-grams' shares, and give the discounted mass to the shorter contexts."""
    context_U = keys_U // vocab_size
    off_U = discounts(counts_U)[np.minimum(counts_U, MAX_COUNT)]
    totals_C = np.bincount(context_U, weights=counts_U, minlength=contexts)
    freed_C = np.bincount(context_U, weights=off_U, minlength=contexts)
    # A context that occurs only at the end of the text uses the shorter context alone.
    weights_C = np.ones(contexts + 1)
    np.divide(freed_C, totals_C, out=weights_C[:-1], where=totals_C > 0)
    return _Level(keys_U, (counts_U - off_U) / totals_C[context_U], weights_C)


def _look_up(
    keys_U: Integers, contexts_N: Integers, tokens: Integers | np.int64, vocab_size: int
) -> Integers:
    """The numbers (N,) of the n-grams of these contexts and tokens; -1 for those not counted."""
    keys_N = contexts_N * vocab_size + tokens
    places_N = np.minimum(np.searchsorted(keys_U, keys_N), len(keys_U) - 1)
    return np.where((keys_U[places_N] == keys_N) & (contexts_N >= 0), places_N, -1)
