"""The log-probabilities of the tokens of texts and of primes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from _scheduling import TOKENIZER, VOCAB, constant_model, model_of, requests, text_of, use_split

from rondel.engine import NumpyEngine, build_engine
from rondel.engine.compiled_engine import CompiledEngine
from rondel.generation.generate import write_many
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prime import Prime, read_prime, read_together
from rondel.generation.scheduler import Fairness, Scheduler
from rondel.generation.stream import Request
from rondel.kernels.threads.autotuner import Split


@pytest.fixture(scope="module")
def engine():
    built = build_engine(*model_of())
    assert isinstance(built, CompiledEngine)
    return built


@pytest.fixture(scope="module")
def generic():
    return NumpyEngine(*model_of())


@pytest.mark.parametrize("kind", ["compiled", "generic"])
@pytest.mark.parametrize("rules", [{}, {"top_k": 5, "temperature": 1.5}])
def test_log_probabilities_are_the_models_and_change_no_text(engine, generic, kind, rules):
    chosen = {"compiled": engine, "generic": generic}[kind]
    settings = GenerationSettings(length=60, seed=3, stop=("Q",), rules=rules)
    outputs = list(write_many(chosen, TOKENIZER, [Request("THE ", settings, logprobs=4)]))
    text = text_of(chosen, "THE ", length=60, seed=3, stop=("Q",), rules=rules)
    tokens = [token for output in outputs for token in output.logprobs]
    assert "".join(token.text for token in tokens) == text
    ids = TOKENIZER.encode("THE " + text)
    logits_T1V, _ = generic.sequence(ids[:-1, None], generic.initial_state())
    logprobs_TV = logits_T1V[3:, 0].astype(np.float64)
    if TOKENIZER.unknown_id is not None:
        logprobs_TV[:, TOKENIZER.unknown_id] = -np.inf
    logprobs_TV -= np.log(np.exp(logprobs_TV).sum(axis=1, keepdims=True))
    for token, own, row in zip(tokens, ids[4:], logprobs_TV, strict=True):
        assert token.logprob == pytest.approx(row[own], abs=1e-4)
        best = np.argsort(-row)[:4]
        assert [*token.top] == [TOKENIZER.token(i) for i in best]
        assert [*token.top.values()] == pytest.approx(row[best].tolist(), abs=1e-4)


@pytest.mark.parametrize("split", [Split(1, 1), Split(1, 2), Split(2, 1)], ids=str)
def test_log_probabilities_are_the_same_alone_and_in_a_crowd(engine, split, monkeypatch):
    asked = [
        dataclasses.replace(request, logprobs=(None, 0, 3, 20, 100)[number % 5])
        for number, request in enumerate(requests())
    ]
    alone = [reported(write_many(engine, TOKENIZER, [request]))[0] for request in asked]
    use_split(split, monkeypatch)
    shared = build_engine(*model_of(), threads=2)
    scheduler = Scheduler(shared, TOKENIZER, capacity=7, fairness=Fairness(turn=8))
    for request in asked:
        scheduler.add(request)
    outputs = []
    while len(scheduler):
        outputs += scheduler.step()
    crowd = reported(outputs)
    assert [crowd[number] for number in range(len(asked))] == alone
    assert [len(tokens) > 0 for tokens in alone] == [
        r.logprobs is not None and r.settings.mode != "beam" for r in asked
    ]


def reported(outputs):
    """The log-probabilities of each text, by its number."""
    by_number = {}
    for output in outputs:
        by_number.setdefault(output.number, []).extend(output.logprobs)
    return by_number


def test_a_stream_with_log_probabilities_does_not_hold_a_batch_to_single_steps(engine):
    settings = GenerationSettings(length=400, seed=1)
    many = [Request("THE ", settings, n, logprobs=5 if n == 3 else None) for n in range(8)]
    outputs = list(write_many(engine, TOKENIZER, many))
    assert max(output.tokens for output in outputs) > 2
    assert len(reported(outputs)[3]) == 400


def test_equally_likely_tokens_are_reported_by_id_and_impossible_ones_not_at_all():
    logits = np.full(VOCAB, -np.inf)
    logits[[9, 5, 7]], logits[3] = 1.0, 2.0
    request = Request("A", GenerationSettings(length=5, seed=1), logprobs=6)
    tokens = reported(write_many(constant_model(logits), TOKENIZER, [request]))[0]
    for token in tokens:
        assert [*token.top] == [TOKENIZER.token(i) for i in (3, 5, 7, 9)]
        assert np.exp([*token.top.values()]).sum() == pytest.approx(1, abs=1e-6)
        assert token.logprob == token.top[token.text]


def test_what_a_stop_cuts_off_is_not_reported(generic):
    settings = GenerationSettings(length=300, seed=1, rules={"temperature": 3.0})
    text = text_of(generic, "THE ", length=300, seed=1, rules={"temperature": 3.0})
    stop = text[200:203]
    cut = Request("THE ", GenerationSettings(**{**vars(settings), "stop": (stop,)}), logprobs=0)
    outputs = list(write_many(generic, TOKENIZER, [cut]))
    shown = text[: text.index(stop)]
    assert "".join(output.text for output in outputs) == shown
    tokens = [token for output in outputs for token in output.logprobs]
    assert "".join(token.text for token in tokens) == shown
    assert outputs[-1].finish_reason == "stop"
    assert not any(token.top for token in tokens)


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_a_prime_is_reported_alike_in_chunks_of_any_size(engine, chunk):
    prime = "NOW IS THE WINTER OF OUR é"
    reading = Prime(engine, TOKENIZER, prime, logprobs=2)
    while reading.left:
        read_together([reading], chunk)
    assert "".join(token.text for token in reading.logprobs) == prime
    assert reading.logprobs[0].logprob is None
    ids = TOKENIZER.encode(prime)
    logits_T1V, _ = engine.sequence(ids[:, None], engine.initial_state())
    logits_TV = logits_T1V[:, 0].astype(np.float64)
    logprobs_TV = logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True))
    expected = logprobs_TV[np.arange(len(ids) - 1), ids[1:]]
    assert [token.logprob for token in reading.logprobs[1:]] == pytest.approx(expected.tolist())
    start, other = reading.start(), read_prime(engine, TOKENIZER, prime)
    np.testing.assert_array_equal(start.logits_V, other.logits_V)
    for own, its in zip(start.state, other.state, strict=True):
        np.testing.assert_array_equal(own, its)


@pytest.mark.parametrize("logprobs", [None, 2])
def test_primes_read_together_are_read_as_alone(engine, logprobs):
    primes = ["NOW IS THE WINTER", "A", "OF OUR DISCONTENT MADE GLORIOUS SUMMER", "NO", "N"]
    together = [Prime(engine, TOKENIZER, prime, logprobs) for prime in primes]
    while left := [reading for reading in together if reading.left]:
        read_together(left, 7)
    for prime, reading in zip(primes, together, strict=True):
        start, alone = reading.start(), read_prime(engine, TOKENIZER, prime)
        np.testing.assert_array_equal(start.logits_V, alone.logits_V)
        for own, its in zip(start.state, alone.state, strict=True):
            np.testing.assert_array_equal(own, its)
        assert len(reading.logprobs) == (0 if logprobs is None else len(prime))
