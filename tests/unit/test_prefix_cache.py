"""The cache of prefixes: what it has is not read again, and shows in no text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from _models import random_model

from rondel.engine import NumpyEngine, build_engine
from rondel.generation.generate import generate
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prefix_cache import ENTRY_BYTES, PrefixCache
from rondel.generation.prime import KEPT_EVERY, Prime, read_prime
from rondel.generation.scheduler import Fairness, Scheduler
from rondel.generation.stream import Request
from rondel.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("text", "".join(map(chr, range(32, 96))))
MODEL = random_model("gru", vocab=TOKENIZER.vocab_size, layers=2, hidden=24, embedding=9)
COMPILED, NUMPY = build_engine(*MODEL), NumpyEngine(*MODEL)
STATE = (np.zeros((2, 1, 24), np.float32),)
SIZE = STATE[0].nbytes + ENTRY_BYTES
PROMPT = "NOW IS THE WINTER OF OUR DISCONTENT"
SETTINGS = GenerationSettings(length=30, seed=4)


def ids(*values):
    return np.array([*values] * 20)


def text_of(engine, prompt, settings=SETTINGS):
    """The text that continues a prompt, without a cache."""
    return "".join(generate(engine, TOKENIZER, settings, prompt))


def written(engine, cache, prompt, settings=SETTINGS):
    """The same with a cache, and how many tokens of the prompt were left to read."""
    scheduler = Scheduler(engine, TOKENIZER, fairness=Fairness(chunk=64), cache=cache)
    prime = Prime(engine, TOKENIZER, prompt, cache=cache)
    left = prime.left
    scheduler.add(Request(prime, settings))
    outputs = []
    while len(scheduler):
        outputs += scheduler.step()
    assert [o.prime_tokens for o in outputs if o.prime_tokens is not None] == [len(prompt)]
    return "".join(output.text for output in outputs), left


def test_the_longest_prefix_is_found():
    cache = PrefixCache(10 * SIZE)
    text = np.concatenate([ids(1, 2), ids(7)])
    cache.keep(text[:30], STATE)
    cache.keep(text[:40], STATE)
    cache.keep(ids(1, 2, 3), STATE)
    assert cache.longest(ids(2, 1)) is None
    assert cache.longest(text).length == 40
    assert cache.longest(text[:40]).length == 30  # of all 40 the logits are not known
    assert cache.longest(text, whole=True) is cache.longest(text[:40], whole=True) is None
    cache.keep(text[:40], STATE, np.zeros(8, np.float32))
    assert cache.longest(text[:40], whole=True).logits_V is not None
    assert (cache.hits, cache.tokens_saved, cache.bytes) == (3, 110, 3 * SIZE + 32)


def test_it_never_takes_more_memory_than_it_may_and_keeps_what_was_used_last():
    cache = PrefixCache(2 * SIZE)
    for first in (1, 2):
        cache.keep(ids(first), STATE)
    assert cache.longest(ids(1, 1)) is not None
    cache.keep(ids(3), STATE)
    found = {first: cache.longest(ids(first, first)) is not None for first in (1, 2, 3)}
    assert found == {1: True, 2: False, 3: True}
    cache.keep(ids(4), STATE * 9)
    assert cache.longest(ids(4, 4)) is None
    assert cache.bytes == 2 * SIZE
    none = PrefixCache(0)
    none.keep(ids(1), STATE)
    assert (none.longest(ids(1, 1)), none.bytes) == (None, 0)


@pytest.mark.parametrize("engine", [COMPILED, NUMPY], ids=["compiled", "numpy"])
def test_of_a_prompt_that_was_read_nothing_is_read_again(engine):
    cache = PrefixCache(10**6)
    expected = text_of(engine, PROMPT)
    assert written(engine, cache, PROMPT) == (expected, len(PROMPT))
    assert written(engine, cache, PROMPT) == (expected, 0)


@pytest.mark.parametrize("engine", [COMPILED, NUMPY], ids=["compiled", "numpy"])
def test_of_a_longer_one_the_rest_is_read_where_that_gives_the_same_bits(engine):
    cache, longer = PrefixCache(10**6), PROMPT + " MADE GLORIOUS"
    written(engine, cache, PROMPT)
    text, left = written(engine, cache, longer)
    assert text == text_of(engine, longer)
    assert left == (len(" MADE GLORIOUS") if engine is COMPILED else len(longer))


def test_a_long_prompt_leaves_states_on_its_way():
    cache, long = PrefixCache(10**6), PROMPT * (1 + 2 * KEPT_EVERY // len(PROMPT))
    written(COMPILED, cache, long)
    other = long[: KEPT_EVERY + 100] + "AND ANOTHER END"
    assert written(COMPILED, cache, other) == (text_of(COMPILED, other), len(other) - KEPT_EVERY)


def test_a_text_is_written_on_from_its_end():
    cache = PrefixCache(10**6)
    text, _ = written(COMPILED, cache, PROMPT)
    expected = text_of(COMPILED, PROMPT + text)
    assert written(COMPILED, cache, PROMPT + text) == (expected, 1)


def test_what_does_not_follow_from_its_tokens_is_not_kept():
    cache = PrefixCache(10**6)
    scheduler = Scheduler(COMPILED, TOKENIZER, cache=cache)
    stopped = dataclasses.replace(SETTINGS, stop=(text_of(COMPILED, PROMPT)[20:23],))
    scheduler.add(Request(PROMPT, stopped))
    scheduler.add(Request(read_prime(COMPILED, TOKENIZER, PROMPT), SETTINGS))
    while len(scheduler):
        scheduler.step()
    assert cache.bytes == 0
