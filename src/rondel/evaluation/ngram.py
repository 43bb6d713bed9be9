"""N-gram language models over token ids, as baselines for recurrent models.

Interpolated modified Kneser-Ney after Chen & Goodman, "An empirical study of smoothing techniques
for language modeling" (Computer Speech & Language 13, 1999), interpolated down to the uniform
distribution, so that no token of the vocabulary has probability zero.

Shapes: N tokens, V vocabulary, U distinct n-grams of one length, C distinct contexts of one length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


class Grams(NamedTuple):
    """The distinct n-grams of one length in a text.

    An n-gram's number is its index in `keys_U`, which is sorted; its key is the number of its first
    n - 1 tokens, times V, plus its last token, so that keys do not grow with n.
    """

    keys_U: Integers
    counts_U: Integers
    suffixes_U: Integers
    """The numbers of the n-grams' last n - 1 tokens."""
    first: int
    """The number of the n-gram that the text begins with."""


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
        return self.fit_counts(count_ngrams(lambda: [ids], self.order, self.vocab_size))

    def fit_counts(self, lengths: Sequence[Grams]) -> Self:
        """The same from the n-grams of a text as `count_ngrams` gives them, or longer ones too."""
        lengths, levels, contexts = lengths[: self.order], [], 1
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
        tokens_N = _checked(ids, self.vocab_size)
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
        tokens = _checked(np.asarray(context, dtype=np.int64), self.vocab_size)
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


def count_ngrams(blocks: Callable[[], Iterable[Ids]], order: int, vocab_size: int) -> list[Grams]:
    """The n-grams of every length from 1 to `order`, at most the text's length.

    `blocks` gives the ids of the text some at a time, and is called for each length; what is in
    memory are the distinct n-grams. Raises `InputError` for an empty text or an id outside the
    vocabulary.
    """
    lengths: list[Grams] = []
    for length in range(1, order + 1):
        counts = _Counts()
        first: Integers | None = None
        held = np.empty(0, np.int64)
        for ids in blocks():
            tokens_N = np.concatenate([held, _checked(ids, vocab_size)])
            held = tokens_N[max(0, len(tokens_N) - length + 1) :]
            keys = _keys(lengths, tokens_N, vocab_size)
            first = keys[:1].copy() if first is None and len(keys) else first
            counts.add(keys)
        if first is None:
            break
        keys_U, counts_U = counts.merged()
        # The last n - 1 tokens are the last n - 2 of the first n - 1, and the last.
        suffixes_U = np.zeros(len(keys_U), np.int64)
        if lengths:
            shorter = lengths[-1]
            contexts_U = shorter.suffixes_U[keys_U // vocab_size]
            suffixes_U = _look_up(shorter.keys_U, contexts_U, keys_U % vocab_size, vocab_size)
        number = int(np.searchsorted(keys_U, first[0]))
        lengths.append(Grams(keys_U, counts_U, suffixes_U, number))
    if not lengths:
        raise InputError("an n-gram model cannot be fitted to an empty text; give it tokens")
    return lengths


def _keys(lengths: Sequence[Grams], tokens_N: Integers, vocab_size: int) -> Integers:
    """The keys of the n-grams of tokens that are one longer than the longest of `lengths`."""
    numbers = np.zeros(len(tokens_N), np.int64)
    for length, grams in enumerate(lengths):
        ends = tokens_N[length:]
        numbers = _look_up(grams.keys_U, numbers[: len(ends)], ends, vocab_size)[: len(ends)]
    ends = tokens_N[len(lengths) :]
    return numbers[: len(ends)] * vocab_size + ends


class _Counts:
    """How often each key comes, counted some at a time."""

    def __init__(self) -> None:
        self._parts: list[tuple[Integers, Integers]] = []

    def add(self, keys: Integers) -> None:
        """Count some keys."""
        self._parts.append(np.unique(keys, return_counts=True))
        # Merged as they become as many as were merged before, so that each is merged seldom.
        if sum(len(part) for part, _ in self._parts[1:]) > len(self._parts[0][0]):
            self._parts = [self.merged()]

    def merged(self) -> tuple[Integers, Integers]:
        """The different keys, in order, and their counts."""
        if len(self._parts) == 1:
            return self._parts[0]
        keys = np.concatenate([part for part, _ in self._parts])
        counts = np.concatenate([part for _, part in self._parts])
        keys_U, numbers = np.unique(keys, return_inverse=True)
        counts_U = np.zeros(len(keys_U), np.int64)
        np.add.at(counts_U, numbers.reshape(-1), counts)
        return keys_U, counts_U


def _continuations(grams: Grams, longer: Sequence[Grams]) -> Integers:
    """How many different tokens precede each n-gram (U,), the text's beginning counted as one.

    `longer` has the n-grams one token longer, and is empty if the text has none.
    """
    counts_U = np.zeros(len(grams.keys_U), np.int64)
    for extended in longer:
        counts_U += np.bincount(extended.suffixes_U, minlength=len(counts_U))
    counts_U[grams.first] += 1
    return counts_U


def _checked(ids: Ids, vocab_size: int) -> Integers:
    tokens: Integers = ids.astype(np.int64)
    if len(tokens) and (tokens.min() < 0 or tokens.max() >= vocab_size):
        raise InputError(
            f"this n-gram model takes token ids from 0 to {vocab_size - 1}, and the text "
            f"has {tokens.min()} to {tokens.max()}; set vocab_size to the tokenizer's"
        )
    return tokens


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
