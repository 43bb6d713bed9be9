"""Many texts at once: each is the one it would be alone, whoever comes and goes."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from _models import random_model
from _scheduling import (
    CHARACTERS,
    TOKENIZER,
    VOCAB,
    constant_model,
    joined,
    model_of,
    requests,
    text_of,
    use_split,
)
from _settings import text_config

from rondel.engine import NumpyEngine, build_engine
from rondel.engine.compiled_engine import CompiledEngine
from rondel.errors import InputError, ModelFolderError
from rondel.generation.generate import generate, write_many
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prime import Prime
from rondel.generation.scheduler import Fairness, Scheduler
from rondel.generation.stream import Request
from rondel.kernels.threads.autotuner import Split
from rondel.text.tokenizers import tokenizers, train_tokenizer


@pytest.fixture(scope="module")
def engine():
    built = build_engine(*model_of())
    assert isinstance(built, CompiledEngine)
    return built


@pytest.fixture(scope="module")
def generic():
    return NumpyEngine(*model_of())


@pytest.mark.parametrize(
    ("mode", "rules"),
    [
        ("sample", {"temperature": 0.8}),
        ("sample", {}),
        ("sample", {"temperature": 0}),
        ("sample", {"temperature": 1e-40}),
        ("sample", {"temperature": 1e300}),
        ("sample", {"top_k": 5, "temperature": 1.2}),
        ("spaces", {"temperature": 1.5}),
        ("argmax", {}),
    ],
)
def test_the_text_is_numpys(engine, generic, mode, rules):
    settings = {"length": 2000, "mode": mode, "rules": rules, "seed": 5}
    text = text_of(engine, **settings)
    assert len(text) == 2000
    assert text == text_of(generic, **settings)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells_write_as_numpy_does(cell):
    model = model_of(cell)
    settings = {"length": 500, "seed": 1}
    expected = text_of(NumpyEngine(*model), **settings)
    assert text_of(build_engine(*model), **settings) == expected


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("capacity", [1, 5, 64])
def test_a_text_is_the_same_alone_and_in_a_crowd(precision, capacity):
    engine = build_engine(*model_of(), precision)
    alone = [text_of(engine, r.prime, r.index, **vars(r.settings)) for r in requests()]
    assert joined(write_many(engine, TOKENIZER, requests(), capacity)) == alone


def test_a_generic_engine_keeps_them_apart_too(generic):
    alone = [text_of(generic, r.prime, r.index, **vars(r.settings)) for r in requests(9)]
    assert joined(write_many(generic, TOKENIZER, requests(9), 4)) == alone


@pytest.mark.parametrize("split", [Split(1, 2), Split(2, 1)], ids=["workers", "blocks"])
def test_two_threads_write_the_same(split, engine, monkeypatch):
    expected = joined(write_many(engine, TOKENIZER, requests()))
    shared = build_engine(*model_of(), threads=2)

    use_split(split, monkeypatch)
    assert joined(write_many(shared, TOKENIZER, requests())) == expected


def test_streams_join_and_leave_between_steps(engine):
    settings = GenerationSettings(length=400, seed=3)
    expected = [text_of(engine, index=i, length=400, seed=3) for i in range(4)]
    scheduler = Scheduler(engine, TOKENIZER, capacity=3)
    texts = {}

    def step(count):
        for output in itertools.chain(*(scheduler.step() for _ in range(count))):
            text = texts[output.number] = texts.get(output.number, "") + output.text
            assert output.finished == (len(text) == 400)

    first = scheduler.add(Request("The ", settings, 0))
    step(3)
    second, third = (scheduler.add(Request("The ", settings, i)) for i in (1, 2))
    step(2)
    scheduler.cancel(second)
    scheduler.cancel(second)
    fourth = scheduler.add(Request("The ", settings, 3))
    assert len(scheduler) == 3
    step(30)
    assert len(scheduler) == 0
    assert scheduler.step() == []
    assert [texts[number] for number in (first, third, fourth)] == [expected[i] for i in (0, 2, 3)]
    assert 0 < len(texts[second]) < 400
    assert expected[1].startswith(texts[second])


@pytest.mark.parametrize("level", tokenizers)
@pytest.mark.parametrize("compiled", [True, False])
def test_a_prime_that_many_go_on_from_is_read_once(level, compiled):
    text = "THE CUP, the café é IS hot. é (too)" * 3
    tokenizer = train_tokenizer(text, text_config(level=level, min_count=1))
    model = random_model("gru", vocab=tokenizer.vocab_size, layers=2, hidden=24, embedding=9)
    engine = build_engine(*model) if compiled else NumpyEngine(*model)
    # Ends within a word's space, or, as a byte model has it, within a character.
    primes = ["THE CUP, the ", "é \udcc3"] * 3
    settings = GenerationSettings(length=30, seed=4)
    alone = ["".join(generate(engine, tokenizer, settings, p, i)) for i, p in enumerate(primes)]
    read = []
    step = engine.step
    engine.step = lambda tokens, state: read.append(tokens.tolist()) or step(tokens, state)
    many = (Request(prime, settings, i) for i, prime in enumerate(primes))
    assert joined(write_many(engine, tokenizer, many, 4)) == alone
    assert len(set(alone)) == len(alone)
    if compiled:
        assert len(read) == 2


def test_many_are_refused_before_any_is_written(engine):
    settings = GenerationSettings()
    with pytest.raises(InputError, match="give a prime"):
        write_many(engine, TOKENIZER, [Request("A", settings), Request("", settings)])


@pytest.mark.parametrize("steps", [0, 1], ids=["unread", "waiting"])
def test_what_does_not_run_yet_can_be_cancelled_too(engine, steps):
    scheduler = Scheduler(engine, TOKENIZER, capacity=1)
    added = [scheduler.add(Request("The ", GenerationSettings(length=5))) for _ in range(3)]
    outputs = [output for _ in range(steps) for output in scheduler.step()]
    scheduler.cancel(added[1])
    while len(scheduler):
        outputs += scheduler.step()
    assert {output.number for output in outputs if output.finished} == {added[0], added[2]}
    assert not any(output.text for output in outputs if output.number == added[1])


def test_an_empty_prime_is_refused_and_the_others_go_on(engine):
    scheduler = Scheduler(engine, TOKENIZER)
    scheduler.add(Request("A", GenerationSettings(length=1)))
    with pytest.raises(InputError, match="give a prime"):
        scheduler.add(Request("", GenerationSettings()))
    assert [output.finished for output in scheduler.step()] == [False, True]


def test_the_first_piece_comes_at_once(engine):
    pieces = list(generate(engine, TOKENIZER, GenerationSettings(length=300, seed=1), "The "))
    assert len(pieces[0]) == 1
    assert 3 < len(pieces) < 300


def test_two_threads_of_the_caller_do_not_mix(engine):
    expected = [text_of(engine, index=i, length=600, seed=2) for i in range(4)]
    texts = [""] * 4

    def write(i):
        texts[i] = text_of(engine, index=i, length=600, seed=2)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == expected


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("mode", ["sample", "argmax"])
def test_a_model_of_broken_weights_is_refused(mode, precision):
    config, weights = model_of()
    weights["core.weight_hh_l1"][3, 4] = np.nan
    with pytest.raises(ModelFolderError, match="not a finite number"):
        text_of(build_engine(config, weights, precision), length=40, mode=mode)


def test_the_unknown_token_is_never_made():
    logits = np.zeros(VOCAB)
    logits[TOKENIZER.unknown_id] = 90
    for mode in ("sample", "argmax", "spaces"):
        text = text_of(constant_model(logits), length=400, mode=mode)
        assert len(text) == 400
        assert not TOKENIZER.unknowns(text)


def test_tokens_come_as_often_as_the_model_says():
    probabilities = np.random.default_rng(4).dirichlet(np.full(VOCAB - 1, 0.5))
    with np.errstate(divide="ignore"):
        logits = np.concatenate([[0.0], np.log(probabilities)]).clip(-100)
    text = text_of(constant_model(logits), length=40_000, seed=1)
    shares = np.array([text.count(letter) for letter in CHARACTERS]) / len(text)
    spread = np.sqrt(probabilities * (1 - probabilities) / len(text))
    assert (np.abs(shares - probabilities) < 4.5 * spread + 1e-9).all()


@pytest.mark.parametrize("kind", ["compiled", "generic"])
def test_a_long_text_keeps_no_short_one_waiting_and_goes_on_the_same(engine, generic, kind):
    chosen = {"compiled": engine, "generic": generic}[kind]
    scheduler = Scheduler(chosen, TOKENIZER, capacity=2, fairness=Fairness(turn=8))
    long = [GenerationSettings(length=600, seed=n, rules={"temperature": 0.9}) for n in range(2)]
    short = GenerationSettings(length=5, seed=7, rules={"top_k": 9})
    numbers = [scheduler.add(Request("THE ", settings)) for settings in (*long, short)]
    outputs = []
    while len(scheduler):
        outputs += scheduler.step()
        assert scheduler.waiting <= 1
    assert next(o.number for o in outputs if o.finished) == numbers[-1]
    assert joined(outputs) == [text_of(chosen, "THE ", **vars(s)) for s in (*long, short)]
    assert sum(output.tokens for output in outputs) == 1205


def test_a_long_prime_keeps_no_short_one_waiting(engine):
    fairness = Fairness(chunk=4, together=1, reading_seconds=0)
    scheduler = Scheduler(engine, TOKENIZER, fairness=fairness)
    settings = GenerationSettings(length=3, seed=1)
    scheduler.add(Request("NOW IS THE WINTER " * 9, settings))
    short = scheduler.add(Request("THE ", settings))
    outputs = []
    while len(scheduler):
        outputs += scheduler.step()
    assert next(o.number for o in outputs if o.finished) == short
    assert joined(outputs) == [
        text_of(engine, p, **vars(settings)) for p in ("NOW IS THE WINTER " * 9, "THE ")
    ]


PRIMES = ["NOW IS THE WINTER", "A", "OF OUR DISCONTENT MADE GLORIOUS SUMMER", "NO", "BY THIS"]


@pytest.mark.parametrize("split", [Split(1, 1), Split(1, 2), Split(2, 1)], ids=str)
def test_primes_read_beside_texts_change_neither(engine, split, monkeypatch):
    long = GenerationSettings(length=300, seed=9)
    own = GenerationSettings(length=30, seed=2, rules={"temperature": 0.7})
    alone = [text_of(engine, p, n, **vars(own)) for n, p in enumerate(PRIMES)]
    use_split(split, monkeypatch)
    shared = build_engine(*model_of(), threads=2)
    scheduler = Scheduler(shared, TOKENIZER, capacity=5)  # less than all primes
    first = scheduler.add(Request("THE ", long))
    outputs = scheduler.step()
    passes = counted(shared, "advance")
    numbers = [scheduler.add(Request(p, own, n)) for n, p in enumerate(PRIMES)]
    twin = scheduler.add(Request(PRIMES[0], own, 0))
    gone = scheduler.add(Request("NEVER READ TO ITS END", own, 0))
    while len(scheduler):
        outputs += scheduler.step()
        scheduler.cancel(gone)
    texts = dict(enumerate(joined(outputs)))
    assert texts[first] == text_of(engine, "THE ", **vars(long))
    assert [texts[n] for n in [*numbers, twin]] == [*alone, alone[0]]
    read = {o.number: o.prime_tokens for o in outputs if o.prime_tokens is not None}
    assert [read[n] for n in [*numbers, twin]] == [*map(len, PRIMES), 0]
    assert passes == []


def counted(engine, name):
    """A list that grows with each call of an engine's method."""
    calls, method = [], getattr(engine, name)
    setattr(engine, name, lambda *given: calls.append(given) or method(*given))
    return calls


def test_streams_share_a_prime_that_is_read_once_and_one_may_only_read_it(engine):
    scheduler = Scheduler(engine, TOKENIZER)
    prime = Prime(engine, TOKENIZER, "NOW IS", logprobs=1)
    settings = GenerationSettings(length=4, seed=3)
    writing = [scheduler.add(Request(prime, settings, index)) for index in range(2)]
    reading = scheduler.add(Request(prime, None))
    outputs = scheduler.step()
    read = [output for output in outputs if output.prime_tokens is not None]
    assert [(o.number, o.prime_tokens, o.finished) for o in read] == [
        (writing[0], 6, False),
        (writing[1], 0, False),
        (reading, 0, True),
    ]
    assert all("".join(token.text for token in o.logprobs) == "NOW IS" for o in read)
    while len(scheduler):
        outputs += scheduler.step()
    texts = [text_of(engine, "NOW IS", index, **vars(settings)) for index in range(2)]
    assert joined(outputs) == [*texts, ""]
