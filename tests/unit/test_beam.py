"""Beam search, held against every text there is."""

from __future__ import annotations

import itertools
import string

import numpy as np
import pytest
from _settings import model_config, text_config

from rondel.engine import NumpyEngine
from rondel.engine.probability import log_softmax
from rondel.errors import InputError
from rondel.generation.generate import generate
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prime import read_prime
from rondel.generation.sampling.rules import active_rules
from rondel.generation.search.beam import best_texts
from rondel.text.tokenizers import tokenizers, train_tokenizer

LETTERS = "abcd"
HIDDEN = 8
RULES = [
    {},
    {"temperature": 0.6},
    {"repetition_penalty": 2.5},
    {"repetition_penalty": 1.7, "temperature": 1.3, "top_k": 3, "min_p": 0.05},
]


@pytest.fixture(scope="module")
def chars():
    return train_tokenizer(LETTERS, text_config())


def weights_of(vocab_size: int, seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"embedding.weight": (vocab_size, 5), "head.weight": (vocab_size, HIDDEN)}
    for layer, inputs in enumerate((5, HIDDEN)):
        shapes[f"core.weight_ih_l{layer}"] = (3 * HIDDEN, inputs)
        shapes[f"core.weight_hh_l{layer}"] = (3 * HIDDEN, HIDDEN)
        shapes[f"core.bias_ih_l{layer}"] = shapes[f"core.bias_hh_l{layer}"] = (3 * HIDDEN,)
    shapes["head.bias"] = (vocab_size,)
    return {name: rng.normal(0, scale, shape).astype("f4") for name, shape in shapes.items()}


def model_of(vocab_size: int, seed: int, scale: float = 1.0, **replaced) -> NumpyEngine:
    config = model_config(
        cell="gru", num_layers=2, hidden_size=HIDDEN, embedding_size=5, vocab_size=vocab_size
    )
    return NumpyEngine(config, {**weights_of(vocab_size, seed, scale), **replaced})


def log_probability(engine, tokenizer, prime, tokens, rules) -> float:
    """Of `tokens` after `prime`, one after the other, from nothing but the definition."""
    ids, total = tokenizer.encode(prime).tolist(), 0.0
    chosen_rules = active_rules(rules)
    for token in tokens:
        logits_TBV, _ = engine.sequence(np.array(ids)[:, None], engine.initial_state())
        logits = logits_TBV[-1, 0].astype(np.float64)
        if tokenizer.unknown_id is not None:
            logits[tokenizer.unknown_id] = -np.inf
        for rule in chosen_rules:
            logits = rule.apply(logits, np.array(ids))
        total += log_softmax(logits)[token]
        ids.append(token)
    return total


def texts_up_to(length: int, stop: str | None) -> set[str]:
    """Every text of `length` letters, ended at its first stop string where it has one."""
    texts = {"".join(letters) for letters in itertools.product(LETTERS, repeat=length)}
    if stop is None:
        return texts
    return {text[: text.find(stop) + len(stop)] if stop in text else text for text in texts}


def beam_text(engine, tokenizer, prime="ab", **settings) -> str:
    chosen = GenerationSettings(mode="beam", **settings)
    return "".join(generate(engine, tokenizer, chosen, prime))


@pytest.mark.parametrize("stop", [None, "b", "ca"])
@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_width_of_all_texts_finds_the_likeliest(chars, seed, rules, stop):
    engine, length = model_of(chars.vocab_size, seed), 3
    scores = {
        text: log_probability(engine, chars, "ab", chars.encode(text), rules)
        for text in texts_up_to(length, stop)
    }
    best = max(scores, key=scores.__getitem__)
    found = beam_text(
        engine,
        chars,
        length=length,
        beam_width=len(LETTERS) ** length,
        rules=rules,
        stop=(stop,) if stop else (),
    )
    assert found == (best.removesuffix(stop) if stop else best)


def best_of(engine, tokenizer, count, prime="ab", **settings):
    chosen = GenerationSettings(mode="beam", **settings)
    start = read_prime(engine, tokenizer, prime)
    return best_texts(engine, tokenizer, chosen, start, count)


@pytest.mark.parametrize("stop", [None, "b", "ca"])
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_a_width_of_all_texts_finds_the_likeliest_in_their_order(chars, rules, stop):
    engine, length, count = model_of(chars.vocab_size, 3), 3, 6
    scores = {
        text: log_probability(engine, chars, "ab", chars.encode(text), rules)
        for text in texts_up_to(length, stop)
    }
    found = best_of(
        engine,
        chars,
        count,
        length=length,
        beam_width=len(LETTERS) ** length,
        rules=rules,
        stop=(stop,) if stop else (),
    )
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:count]
    assert [text.text for text in found] == [text.removesuffix(stop or "") for text in best]
    assert [text.tokens for text in found] == [len(text) for text in best]
    expected = [scores[text] for text in best]
    assert [text.log_probability for text in found] == pytest.approx(expected, abs=1e-4)


def test_several_texts_are_different_ones_and_the_first_is_the_likeliest(chars):
    for seed in range(5):
        engine = model_of(chars.vocab_size, seed)
        # What a text stops before does not show in it.
        found = best_of(engine, chars, 4, length=9, beam_width=8, stop=("a", "b"))
        assert len({text.text for text in found}) == len(found)
        assert found[0].text == beam_text(engine, chars, length=9, beam_width=8, stop=("a", "b"))
        scores = [text.log_probability for text in found]
        assert scores == sorted(scores, reverse=True)
    with pytest.raises(InputError, match="raise the beam width"):
        best_of(engine, chars, 9, length=2, beam_width=8)


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_a_width_of_one_is_argmax(chars, seed, rules):
    engine = model_of(chars.vocab_size, seed)
    settings = GenerationSettings(mode="argmax", length=60, rules=rules)
    greedy = "".join(generate(engine, chars, settings, "ab"))
    assert beam_text(engine, chars, length=60, beam_width=1, rules=rules) == greedy


def test_each_beam_is_judged_by_its_own_history(chars):
    for seed in range(20):
        engine = model_of(chars.vocab_size, seed)
        rules = {"repetition_penalty": 5.0}
        found = beam_text(engine, chars, "a", length=3, beam_width=64, rules=rules)
        scores = {
            text: log_probability(engine, chars, "a", chars.encode(text), rules)
            for text in texts_up_to(3, None)
        }
        assert found == max(scores, key=scores.__getitem__)


def test_a_wider_beam_finds_likelier_texts(chars):
    gains = []
    for seed in range(10):
        engine = model_of(chars.vocab_size, seed, scale=1.5)
        narrow, wide = (beam_text(engine, chars, length=8, beam_width=w) for w in (1, 16))
        scores = [
            log_probability(engine, chars, "ab", chars.encode(text), {}) for text in (narrow, wide)
        ]
        gains.append(scores[1] - scores[0])
    assert min(gains) >= -1e-4
    assert max(gains) > 0.1


def test_the_same_search_gives_the_same_text_whatever_the_seed(chars):
    engine = model_of(chars.vocab_size, 3)
    texts = {beam_text(engine, chars, length=30, seed=seed) for seed in (0, 1, None)}
    assert len(texts) == 1


def test_what_all_beams_agree_on_is_shown_before_the_end():
    tokenizer = train_tokenizer(string.ascii_letters, text_config())
    engine = model_of(tokenizer.vocab_size, 3, scale=2.0)
    settings = GenerationSettings(mode="beam", length=200, beam_width=4)
    pieces = list(generate(engine, tokenizer, settings, "ab"))
    assert "".join(pieces) == beam_text(engine, tokenizer, length=200)
    assert len("".join(pieces)) == 200
    assert all(pieces)
    assert len(pieces) >= 5


def test_temperature_zero_leaves_one_beam(chars):
    engine = model_of(chars.vocab_size, 1)
    settings = GenerationSettings(mode="argmax", length=30)
    greedy = "".join(generate(engine, chars, settings, "ab"))
    assert beam_text(engine, chars, length=30, beam_width=5, rules={"temperature": 0}) == greedy


@pytest.mark.parametrize("seed", range(3))
def test_each_beam_puts_its_own_bytes_together(seed):
    tokenizer, length = tokenizers["byte"](), 4
    allowed = list("é€".encode())
    bias = np.full(256, -1e4, np.float32)
    bias[allowed] = 0
    engine = model_of(tokenizer.vocab_size, seed, **{"head.bias": bias})
    scores = {
        tokens: log_probability(engine, tokenizer, "ab", tokens, {})
        for tokens in itertools.product(allowed, repeat=length)
    }
    best = max(scores, key=scores.__getitem__)
    found = beam_text(engine, tokenizer, length=length, beam_width=len(scores))
    assert found == tokenizer.decode(best)
