"""What crosses threads: requests to a model's thread, and outputs back to the event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from _models import random_model
from _serving import PATIENCE, run_in_loop

from rondel.engine import build_engine
from rondel.errors import ModelFolderError
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.stream import Output, Request
from rondel.serving.handoff import Busy, Handoff, Ticket
from rondel.serving.metrics import Metrics, ModelMetrics
from rondel.serving.model_thread import ModelThread
from rondel.text.tokenizers.char import CharTokenizer

TOKENIZER = CharTokenizer("text", " EHT")
ASKED = [Request("THE", GenerationSettings(length=5, seed=seed)) for seed in range(3)]


def submit(handoff: Handoff | ModelThread, *, whole: bool = False) -> Ticket:
    return handoff.submit(ASKED, whole=whole)


async def read_whole(thread: ModelThread, *, whole: bool = False) -> list[Output]:
    """All outputs of a ticket."""
    ticket = submit(thread, whole=whole)
    heard: list[Output] = []
    while sum(output.finished for output in heard) < len(ASKED):
        heard += await ticket.outputs()
    return heard


@contextmanager
def writing(*, broken: bool = False) -> Iterator[ModelThread]:
    """A thread that writes with a model of random weights."""
    model = random_model("lstm", vocab=TOKENIZER.vocab_size, layers=1, hidden=8, embedding=4)
    if broken:
        model[1]["core.weight_hh_l0"][:] = np.nan
    metrics = ModelMetrics(Metrics(), "tiny")
    limits = {"capacity": 2, "max_queue": 4, "seconds": PATIENCE}
    thread = ModelThread("tiny", build_engine(*model), TOKENIZER, **limits, metrics=metrics)
    yield thread
    thread.stop()


def test_outputs_are_taken_in_by_the_loop_in_their_order() -> None:
    handoff = Handoff(3, PATIENCE)

    def write() -> None:
        received = handoff.receive(wait=True)
        assert received is not None
        ((ticket,), cancelled) = received
        assert cancelled == set()
        for number in range(3):
            handoff.deliver({ticket: [Output(number, "a"), Output(number, "b")]})

    async def listen() -> list[tuple[int, str]]:
        thread = threading.Thread(target=write)
        thread.start()
        ticket = submit(handoff)
        heard: list[tuple[int, str]] = []
        while len(heard) < 6:
            heard += [(output.number, output.text) for output in await ticket.outputs()]
        thread.join()
        return heard

    assert run_in_loop(listen()) == [(n, text) for n in range(3) for text in "ab"]


def test_it_takes_no_more_texts_than_there_is_room_for() -> None:
    handoff = Handoff(5, PATIENCE)

    async def fill() -> None:
        submit(handoff)
        with pytest.raises(Busy) as refused:
            submit(handoff)
        assert refused.value.retry_after >= 1
        handoff.count_finished(1)
        submit(handoff)
        assert handoff.load == 5

    run_in_loop(fill())


def test_what_is_cancelled_is_said_once_and_nothing_is_waited_for_at_the_end() -> None:
    handoff = Handoff(9, PATIENCE)

    async def leave() -> Ticket:
        ticket = submit(handoff)
        ticket.cancel()
        return ticket

    ticket = run_in_loop(leave())
    assert handoff.receive(wait=True) == ([ticket], {ticket})
    assert handoff.receive(wait=False) == ([], set())
    handoff.deliver({ticket: [Output(0)]})  # its loop is closed
    handoff.stop()
    assert handoff.receive(wait=True) is None


@pytest.mark.parametrize("whole", [False, True])
def test_each_choice_comes_to_its_end(whole: bool) -> None:
    with writing() as thread:
        heard = run_in_loop(read_whole(thread, whole=whole))
    for choice in range(len(ASKED)):
        own = [output for output in heard if output.number == choice]
        assert own[0].prime_tokens == (0 if choice else 3)  # equal primes are read once
        assert sum(output.tokens for output in own) == len("".join(o.text for o in own)) == 5
        assert own[-1].finish_reason == "length"


def test_a_model_that_fails_fails_its_clients_and_takes_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def listen(thread: ModelThread) -> None:
        # Nine texts are more than it has room for: the first ones are counted out again.
        for _ in range(3):
            with pytest.raises(ModelFolderError, match="not a finite number"):
                await read_whole(thread)

    with writing(broken=True) as thread:
        run_in_loop(listen(thread))
    assert caplog.messages == ["writing failed"] * 3
