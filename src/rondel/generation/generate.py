"""Write texts that continue primes: one or many at once, each the same as if written alone."""

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
    """Yield the text that continues `prime`, in pieces.

    `prime + "".join(pieces)` is the whole text. Sample `index` of a seed is the same whatever
    other samples are written. Raises `InputError` at the call if the prime is empty, and
    `ModelFolderError` while writing if the model's output is not a number.
    """
    outputs = write_many(engine, tokenizer, [Request(prime, settings, index)], capacity=1)
    return (output.text for output in outputs if output.text)


def write_many(
    engine: Engine, tokenizer: Tokenizer, requests: Iterable[Request], capacity: int = CAPACITY
) -> Iterator[Output]:
    """Yield the outputs of all requests; an output's `number` is the index of its request.

    Raises `InputError` at the call for a prime that the model cannot continue.
    """
    asked = list(requests)
    for request in asked:
        if isinstance(request.prime, str):
            check_prime(tokenizer, request.prime)
    return write_on_demand(engine, tokenizer, partial(next, iter(asked), None), capacity)


def write_on_demand(
    engine: Engine,
    tokenizer: Tokenizer,
    ask: Callable[[], Request | None],
    capacity: int = CAPACITY,
) -> Iterator[Output]:
    """Yield the outputs of any number of requests, each fetched when there is room for it.

    `ask` returns the next request, or `None` if there is none at present; writing ends when there
    is none and all texts are finished. An output's `number` is the index of its request.
    """
    scheduler = Scheduler(engine, tokenizer, capacity)
    while True:
        # Fetch no more primes ahead than there is room for.
        while len(scheduler) < capacity and (request := ask()) is not None:
            scheduler.add(request)
        if not len(scheduler):
            return
        yield from scheduler.step()


def in_order(outputs: Iterable[Output]) -> Iterator[Output]:
    """Yield outputs stream by stream: all of stream 0, then all of stream 1, and so on."""
    pending: dict[int, list[Output]] = {}
    first = 0
    for output in outputs:
        pending.setdefault(output.number, []).append(output)
        while first in pending:
            ready = pending.pop(first)
            yield from ready
            first += ready[-1].finished


def whole_texts(outputs: Iterable[Output], count: int) -> list[str]:
    """Join the outputs of `count` streams into whole texts, in the order of their numbers."""
    pieces: list[list[str]] = [[] for _ in range(count)]
    for output in outputs:
        pieces[output.number].append(output.text)
    return ["".join(of_one) for of_one in pieces]
