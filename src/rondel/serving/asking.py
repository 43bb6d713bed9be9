"""What a request for text asks for: checked, and made into works for a scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rondel.generation.latent import latent_start
from rondel.generation.settings import GenerationSettings
from rondel.generation.shaping import Shaper
from rondel.generation.start import PrimeReading
from rondel.latent_api import SentenceVAE
from rondel.serving.errors import Refusal
from rondel.serving.scheduler import Busy, Ticket, Work
from rondel.serving.service import Served, Service
from rondel.serving.settings import MOST_TEXTS, MOST_TOLD
from rondel.serving.wire import CompletionRequest, seed_of
from rondel.text.one_sentence import END

DEFAULT_LENGTH = 16
"""As OpenAI's interface has it."""
LONG_PRIME = 10_000
"""Characters that are split into tokens beside the event loop, and not in it."""

Prompt = str | list[int]


@dataclass(frozen=True)
class Asked:
    """A request that can be answered: its works, and how to tell of them."""

    works: list[Work]
    prompts: list[str]
    """The prompt of each choice; that of a sentence VAE is empty."""
    echo: bool
    logprobs: int | None
    warnings: list[str]


async def read_request(service: Service, served: Served, body: CompletionRequest) -> Asked:
    """What a request asks for. Raises `Refusal` or `InputError` for what cannot be done."""
    length = DEFAULT_LENGTH if body.max_tokens is None else body.max_tokens
    prompts = _prompts(served, body)
    _check_amount(service, len(prompts) * body.n, length)
    if body.best_of not in (None, body.n):
        raise Refusal("best_of can only be n, since texts are not ranked", param="best_of")
    settings = _settings(body, length)
    if isinstance(served.model, SentenceVAE):
        return _sentences(served.model, body, settings)
    told = body.logprobs if body.echo else None
    readings = [await _reading(served, prompt, told) for prompt in prompts]
    warnings = [line for r in readings for line in _unknowns(served, body, r.text)]
    if body.logprobs is not None:
        _check_told(sum(body.n * (length + (r.left if body.echo else 0)) for r in readings))
    works = [Work(prime, settings, body.n, 0, body.logprobs) for prime in readings]
    texts = [reading.text for reading in readings for _ in range(body.n)]
    return Asked(works, texts, body.echo, body.logprobs, list(dict.fromkeys(warnings)))


def submit(service: Service, served: Served, works: Sequence[Work], *, whole: bool) -> Ticket:
    """Have it written. Raises `Busy`."""
    try:
        seconds = service.settings.request_seconds
        return served.scheduler.submit(works, seconds=seconds, whole=whole)
    except Busy:
        served.metrics.refused.inc()
        raise


def _prompts(served: Served, body: CompletionRequest) -> list[Prompt]:
    given: Any = body.prompt
    if served.latent is not None:
        if given not in (None, "", [""]):
            raise Refusal("a sentence VAE goes on from no prompt; leave it out", param="prompt")
        return [""]
    if given is None:
        return [served.model.choose_opening(seed_of(body.seed)).prime]
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [_checked_ids(served, given)]
    if not given or not all(given):
        raise Refusal("there is an empty prompt; give text to go on from", param="prompt")
    return [p if isinstance(p, str) else _checked_ids(served, p) for p in given]


def _checked_ids(served: Served, ids: list[int]) -> list[int]:
    size = served.model.tokenizer.vocab_size
    if max(ids) >= size:
        raise Refusal(
            f"the prompt has token {max(ids)}; this model's are 0 to {size - 1}", param="prompt"
        )
    return ids


def _check_amount(service: Service, texts: int, length: int) -> None:
    if texts > MOST_TEXTS:
        raise Refusal(f"{texts} texts are asked for; at most {MOST_TEXTS} at a time", param="n")
    most = service.settings.max_tokens
    if texts * length > most:
        raise Refusal(
            f"{texts * length} tokens are asked for; this server writes at most {most} for a "
            "request, over all its texts",
            param="max_tokens",
        )


def _check_told(tokens: int) -> None:
    if tokens > MOST_TOLD:
        raise Refusal(
            f"log-probabilities of {tokens} tokens are asked for; at most {MOST_TOLD} at a time",
            param="logprobs",
        )


def _settings(body: CompletionRequest, length: int) -> GenerationSettings | None:
    """How to write; `None` if nothing is to be written."""
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    rules = body.rules()
    mode = body.mode
    if mode == "sample" and rules.get("temperature") == 0:
        mode = "argmax"
    # Made in any case, so that what is wrong in it is told.
    settings = GenerationSettings(max(1, length), mode, seed_of(body.seed), stops, rules=rules)
    return settings if length else None


def _sentences(
    model: SentenceVAE, body: CompletionRequest, settings: GenerationSettings | None
) -> Asked:
    """Sentences at points drawn from the prior, as `SentenceVAE.sample_sentences` draws them."""
    if settings is None:
        raise Refusal("max_tokens must be at least 1 for a sentence VAE", param="max_tokens")
    Shaper(model.tokenizer, settings.rules)
    length = min(settings.length, model.longest + 1)
    stop = tuple(dict.fromkeys((END, *settings.stop)))
    chosen = GenerationSettings(**{**vars(settings), "length": length, "stop": stop})
    works = [
        Work(latent_start(model.latents, model.tokenizer, z_Z), chosen, 1, index, body.logprobs)
        for index, z_Z in enumerate(model.random_points(body.n, settings.seed))
    ]
    return Asked(works, [""] * body.n, False, body.logprobs, [])


async def _reading(served: Served, prompt: Prompt, told: int | None) -> PrimeReading:
    model = served.model
    prime: Any = prompt if isinstance(prompt, str) else np.array(prompt, np.int64)
    Shaper(model.tokenizer, {})
    if len(prompt) < LONG_PRIME:
        return PrimeReading(model.engine, model.tokenizer, prime, told)
    return await asyncio.to_thread(PrimeReading, model.engine, model.tokenizer, prime, told)


def _unknowns(served: Served, body: CompletionRequest, text: str) -> list[str]:
    """What is told of a prompt that the model does not know all of, if it is read at all."""
    names = served.model.unknowns(text)
    if not names:
        return []
    told = f"the model does not know {' '.join(map(repr, names))}"
    if body.unknown == "refuse" and served.model.tokenizer.level != "word":
        raise Refusal(
            f'{told}; leave it out, or ask for "unknown": "read" to have it read as unknown',
            param="prompt",
            code="unknown_characters",
        )
    return [f"{told}; read as unknown"]
