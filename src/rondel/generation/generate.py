"""Texts that continue primes: one as it is made, or many at once, each as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from rondel.engine import Engine
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prime import Start, check_prime
from rondel.generation.scheduler import CAPACITY, Scheduler
from rondel.generation.stream import Output, Request
from rondel.text.tokenizers import Tokenizer


def generate(
    engine: Engine,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    prime: str | Start,
    index: int = 0,
) -> Iterator[str]:
    """Pieces of text that continue `prime`, which is not among them.

    `prime + "".join(pieces)` is the whole text. Sample `index` of a seed is the same whatever
    others are made. Raises `InputError` if the prime is empty, as it is called; and
    `ModelFolderError`, as the text is made, if the model's output is not a number.
    """
    outputs = write_many(engine, tokenizer, [Request(prime, settings, index)], capacity=1)
    return (output.text for output in outputs if output.text)


def write_many(
    engine: Engine, tokenizer: Tokenizer, requests: Iterable[Request], capacity: int = CAPACITY
) -> Iterator[Output]:
    """The outputs of all requests, whose numbers are their places; each text is as if alone.

    Raises `InputError` at once for a prime that the model cannot continue.
    """
    asked = list(requests)
    for request in asked:
        if isinstance(request.prime, str):
            check_prime(tokenizer, request.prime)
    return write_as_asked(engine, tokenizer, partial(next, iter(asked), None), capacity)


def write_as_asked(
    engine: Engine,
    tokenizer: Tokenizer,
    ask: Callable[[], Request | None],
    capacity: int = CAPACITY,
) -> Iterator[Output]:
    """The outputs of requests that are asked for as there is room, however many they are.

    `ask` gives the next request, or `None` if there is none at present; it ends when there is none
    and all texts are finished. Numbers are the requests' places.
    """
    scheduler = Scheduler(engine, tokenizer, capacity)
    while True:
        # No more primes are read ahead than there is room for.
        while len(scheduler) < capacity and (request := ask()) is not None:
            scheduler.add(request)
        if not len(scheduler):
            return
        yield from scheduler.step()


def in_order(outputs: Iterable[Output]) -> Iterator[Output]:
    """The same outputs, all of stream 0 before those of stream 1, and so on, each when it may."""
    held: dict[int, list[Output]] = {}
    first = 0
    for output in outputs:
        held.setdefault(output.number, []).append(output)
        while first in held:
            own = held.pop(first)
            yield from own
            first += own[-1].finished


def whole_texts(outputs: Iterable[Output], count: int) -> list[str]:
    """The whole texts of `count` streams, by their numbers."""
    pieces: list[list[str]] = [[] for _ in range(count)]
    for output in outputs:
        pieces[output.number].append(output.text)
    return ["".join(own) for own in pieces]
