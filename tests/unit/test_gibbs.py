"""Gibbs sampling: each token drawn given all the others, as they are by then."""

from __future__ import annotations

import numpy as np
import pytest
from _both import cloze_logits, random_engine, random_text_model, shape

from rondel.errors import InputError
from rondel.generation.search.gibbs import sweep
from rondel.text.tokenizers import tokenizers

VOCAB = 7


def test_every_token_is_chosen_given_the_others_as_they_are_by_then() -> None:
    engine = random_engine(shape(VOCAB, num_layers=2))
    ids_TB = np.random.default_rng(2).integers(0, VOCAB, (9, 2))
    current, places = ids_TB.copy(), []

    def choose(logits_BV: np.ndarray, place: int) -> np.ndarray:
        expected = [cloze_logits(engine, current[:, b])[place] for b in range(2)]
        np.testing.assert_allclose(logits_BV, expected, rtol=0, atol=1e-4)
        places.append(place)
        current[place] = logits_BV.argmin(axis=1)
        return current[place]

    states = engine.causal.initial_state(2), engine.reverse.initial_state(2)
    sweep(engine, ids_TB, *states, choose)
    assert places == list(range(9))
    np.testing.assert_array_equal(ids_TB, current)


def test_what_stands_at_the_edges_counts() -> None:
    engine = random_engine(shape(VOCAB))
    whole = np.random.default_rng(4).integers(0, VOCAB, (12, 1))
    state = engine.causal.advance(whole[:4], engine.causal.initial_state())
    after = engine.reverse.advance(whole[8:][::-1], engine.reverse.initial_state())
    expected = cloze_logits(engine, whole[:, 0])

    def keep(logits_BV: np.ndarray, place: int) -> np.ndarray:
        np.testing.assert_allclose(logits_BV[0], expected[4 + place], rtol=0, atol=1e-4)
        return whole[4 + place]

    sweep(engine, whole[4:8].copy(), state, after, keep)


def test_tokens_come_as_often_as_the_model_says() -> None:
    model = random_text_model()
    tokenizer, engine = model.tokenizer, model._both_sides
    edge = np.zeros((1, engine.config.hidden_size), np.float32)
    logits = engine.logits(edge, edge)[0].astype(np.float64)
    logits[tokenizer.unknown_id] = -np.inf
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    draws = 4000
    ids = tokenizer.encode("".join(model.gibbs("t", sweeps=draws, seed=1)))
    counts = np.bincount(ids, minlength=len(expected))
    spread = np.sqrt(draws * expected * (1 - expected))
    assert (np.abs(counts - draws * expected) <= 5 * spread + 1).all()
    assert counts[tokenizer.unknown_id] == 0


@pytest.mark.parametrize("level", tokenizers)
def test_a_text_stays_as_long_and_a_seed_gives_the_same(level: str) -> None:
    model = random_text_model(level=level)
    text = "the cup is full"
    texts = list(model.gibbs(text, sweeps=3, seed=5, temperature=0.8))
    assert len(texts) == 3
    if model.tokenizer.token_noun == "character":
        assert {len(drawn) for drawn in texts} == {len(text)}
    assert texts == list(model.gibbs(text, sweeps=3, seed=5, temperature=0.8))
    assert texts != list(model.gibbs(text, sweeps=3, seed=5, index=1, temperature=0.8))
    assert texts[:2] == list(model.gibbs(text, sweeps=2, seed=5, temperature=0.8))


def test_what_is_unknown_is_replaced() -> None:
    model = random_text_model()
    (text,) = model.gibbs("the ☃ is ☃", sweeps=1, seed=1)
    assert not model.tokenizer.unknowns(text)


def test_settings_that_cannot_be_used() -> None:
    model = random_text_model()
    with pytest.raises(InputError, match="no text to begin from"):
        model.gibbs("")
    with pytest.raises(InputError, match="sweeps must be a whole number of at least 1, not 0"):
        model.gibbs("the", sweeps=0)
    with pytest.raises(InputError, match="temperature"):
        model.gibbs("the", temperature=-1)
