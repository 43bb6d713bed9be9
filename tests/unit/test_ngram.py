"""N-gram baselines: values by hand, against a naive reading of the paper, and on real prose."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import InputError
from rondel.evaluation.ngram import NGramModel, discounts

# a b a b a c, and a fourth token d that never occurs
TOY = np.array([0, 1, 0, 1, 0, 2], dtype=np.int32)


def prose() -> tuple[np.ndarray, np.ndarray, int]:
    text = "".join(topics[name] for name in sorted(topics))[:120_000]
    characters, ids = np.unique(list(text), return_inverse=True)
    return ids[:100_000], ids[100_000:], len(characters)


def test_unigram_by_hand():
    # Counts: a 3, b 2, c 1, of 6. One token is seen once (n1 = 1), one twice (n2 = 1), one three
    # times, none four: too little for three discounts, so D = n1 / (n1 + 2 n2) = 1/3 for all.
    # Three tokens give up 1/3 each, 1 of 6 in all, shared out evenly: 1/6 * 1/4 = 3/72 each.
    # a: (3 - 1/3)/6 = 32/72, b: (2 - 1/3)/6 = 20/72, c: (1 - 1/3)/6 = 8/72, and 3/72 on top.
    model = NGramModel(1, vocab_size=4).fit(TOY)
    by_hand = np.array([35, 23, 11, 3]) / 72
    np.testing.assert_allclose(model.distribution(), by_hand, rtol=1e-12)
    np.testing.assert_allclose(model.surprisals(TOY), -np.log(by_hand[TOY]), rtol=1e-12)


def test_bigram_by_hand():
    # Below the top, a token counts what it follows: a follows b and the beginning, so 2; b follows
    # a, so 1; c follows a, so 1. n1 = 2, n2 = 1, n3 = 0: D = 2/(2 + 2) = 1/2 for all, of a total
    # of 4. Shared out evenly: 3 * 1/2 / 4 * 1/4 = 0.09375.
    #   a 1.5/4 + 0.09375 = 0.46875, b = c = 0.5/4 + 0.09375 = 0.21875, d 0.09375
    # Bigrams: ab 2, ba 2, ac 1. n1 = 1, n2 = 2, n3 = 0: D = 1/(1 + 4) = 0.2.
    #   after a (3 times, followed by 2 different): 2 * 0.2 / 3 of the unigrams passed down
    #     a 0.4/3 * 0.46875 = 0.0625       b 1.8/3 + 0.4/3 * 0.21875 = 0.6 + 0.175/6
    #     c 0.8/3 + 0.175/6                d 0.4/3 * 0.09375 = 0.0125
    #   after b (twice, by 1): 0.2 / 2 = 0.1 passed down: a 1.8/2 + 0.046875, and so on
    #   after c, which only ends the text: the unigrams as they are
    model = NGramModel(2, vocab_size=4).fit(TOY)
    unigram = [0.46875, 0.21875, 0.21875, 0.09375]
    after_a = [0.0625, 0.6 + 0.175 / 6, 0.8 / 3 + 0.175 / 6, 0.0125]
    after_b = [0.946875, 0.021875, 0.021875, 0.009375]
    np.testing.assert_allclose(model.distribution(), unigram, rtol=1e-12)
    np.testing.assert_allclose(model.distribution([0]), after_a, rtol=1e-12)
    np.testing.assert_allclose(model.distribution([3, 0]), after_a, rtol=1e-12)
    np.testing.assert_allclose(model.distribution([1]), after_b, rtol=1e-12)
    np.testing.assert_allclose(model.distribution([2]), unigram, rtol=1e-12)
    np.testing.assert_allclose(
        model.surprisals(np.array([1, 0, 2, 3])),
        -np.log([unigram[1], after_b[0], after_a[2], unigram[3]]),
        rtol=1e-12,
    )


def test_discounts_by_hand():
    # n1 = 10, n2 = 4, n3 = 2, n4 = 1: Y = 10/18 = 5/9, D1 = 1 - 2 Y 4/10 = 5/9,
    # D2 = 2 - 3 Y 2/4 = 7/6, D3+ = 3 - 4 Y 1/2 = 17/9
    counts = np.array([1] * 10 + [2] * 4 + [3] * 2 + [4, 9, 50])
    np.testing.assert_allclose(discounts(counts), [0, 5 / 9, 7 / 6, 17 / 9], rtol=1e-12)


@pytest.mark.parametrize(
    ("counts", "single"),
    [
        ([1, 1, 2, 2, 3], 2 / 6),  # nothing counted four times
        ([1, 2, 3, 4, 4, 4, 4], 1 / 3),  # D3+ = 3 - 4/3 * 4 would add to a count
        ([1, 1, 1], 0.5),  # nothing counted twice
        ([7, 9], 0.5),
    ],
)
def test_discounts_of_a_small_text_fall_back_to_one(counts: list[int], single: float):
    np.testing.assert_allclose(discounts(np.array(counts)), [0, single, single, single])


def naive(text: list[int], order: int, vocab_size: int, context: tuple[int, ...]) -> list[float]:
    """p of every token after `context`, from dictionaries, as the paper has it."""
    p = [1 / vocab_size] * vocab_size
    for n in range(1, min(order, len(context) + 1) + 1):
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        if n == order:
            counts = Counter(grams)
        else:
            before = defaultdict(set)
            for i, gram in enumerate(grams):
                before[gram].add(text[i - 1] if i else "beginning")
            counts = Counter({gram: len(tokens) for gram, tokens in before.items()})
        off = discounts(np.array(list(counts.values())))
        shorter = context[len(context) - n + 1 :]
        children = {gram[-1]: count for gram, count in counts.items() if gram[:-1] == shorter}
        total = sum(children.values())
        if total:
            freed = sum(off[min(count, 3)] for count in children.values()) / total
            kept = {token: (c - off[min(c, 3)]) / total for token, c in children.items()}
            p = [kept.get(token, 0.0) + freed * p[token] for token in range(vocab_size)]
    return p


@settings(max_examples=60)
@given(
    text=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    order=st.integers(1, 6),
    other=st.lists(st.integers(0, 6), max_size=12),
)
def test_agrees_with_a_naive_reading_of_the_paper(text: list[int], order: int, other: list[int]):
    model = NGramModel(order, vocab_size=7).fit(np.array(text))
    for ids in (text[:12], other):
        surprisals = model.surprisals(np.array(ids, dtype=np.int64))
        assert surprisals.shape == (len(ids),)
        for i, surprisal in enumerate(surprisals):
            p = naive(text, order, 7, tuple(ids[:i]))
            np.testing.assert_allclose(model.distribution(ids[:i]), p, rtol=1e-9)
            assert surprisal == pytest.approx(-math.log(p[ids[i]]), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
def test_sums_to_one_and_leaves_nothing_impossible(order: int):
    train, held_out, vocab_size = prose()
    # 3 tokens more than there are characters, so that some are never seen, as contexts or at all
    model = NGramModel(order, vocab_size + 3).fit(train)
    rng = np.random.default_rng(order)
    seen = [train[i : i + order + 1] for i in rng.integers(0, len(train) - 10, 20)]
    unseen = [rng.integers(0, vocab_size + 3, order + 1) for _ in range(20)]
    for context in [*seen, *unseen, held_out[:2], held_out[:0], [vocab_size + 2]]:
        p = model.distribution(context)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert p.min() > 0


def test_unseen_tokens_share_evenly_in_any_context():
    train, _, vocab_size = prose()
    model = NGramModel(4, vocab_size + 3).fit(train)
    for context in ([], train[:3], [vocab_size, 5, vocab_size]):
        assert len(set(model.distribution(context)[vocab_size:])) == 1
    np.testing.assert_array_equal(model.distribution([vocab_size]), model.distribution())


def test_longer_contexts_predict_held_out_prose_better():
    train, held_out, vocab_size = prose()
    nats = [NGramModel(n, vocab_size).fit(train).surprisals(held_out).mean() for n in range(1, 6)]
    assert all(longer < shorter - 0.05 for shorter, longer in itertools.pairwise(nats))
    assert nats[0] < math.log(vocab_size)
    # The unigram's loss is the cross-entropy between the two parts' character frequencies.
    frequencies = np.bincount(train, minlength=vocab_size) / len(train)
    seen = frequencies[held_out] > 0
    assert seen.mean() > 0.999
    cross_entropy = -np.log(frequencies[held_out][seen]).mean()
    assert nats[0] == pytest.approx(cross_entropy, rel=0.01)


def test_many_tokens_of_a_large_vocabulary_do_not_collide():
    # vocab_size ** order is far above 2 ** 64 here
    text = np.random.default_rng(0).integers(0, 200_000, 3_000)
    text = np.concatenate([text, text])
    model = NGramModel(6, 200_000).fit(text)
    # Each was seen with the same five before it: all that is discounted is passed down.
    assert model.surprisals(text)[10:].max() < math.log(2)
    assert model.surprisals(text[::-1])[10:].min() > math.log(1_000)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="order of an n-gram model must be at least 1, not 0"):
        NGramModel(0, 5)
    with pytest.raises(InputError, match="at least 1 token, not 0"):
        NGramModel(1, 0)
    with pytest.raises(InputError, match="empty text"):
        NGramModel(2, 5).fit(np.array([], dtype=np.int32))
    with pytest.raises(InputError, match=r"from 0 to 4.* has 0 to 5"):
        NGramModel(2, 5).fit(np.array([0, 5]))
    with pytest.raises(InputError, match="has -1 to 1"):
        NGramModel(2, 5).fit(np.array([0, 1])).surprisals(np.array([1, -1]))
    with pytest.raises(InputError, match="call fit first"):
        NGramModel(2, 5).surprisals(np.array([1]))
