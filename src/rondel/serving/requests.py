"""From the body of a request for text to the requests for a model's thread.

`wire.py` checks each field by itself. The checks that depend on several fields, on the server's
limits and on the model are here, before anything is submitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from rondel.api.sentence_vae import SentenceVAE
from rondel.errors import InputError
from rondel.generation.generation_settings import GenerationSettings, generation_settings
from rondel.generation.latent_points import latent_requests
from rondel.generation.prime import Prime
from rondel.generation.sampling.sampler import check_can_write
from rondel.generation.stream import Request
from rondel.kinds import kind_of
from rondel.serving.error_responses import LONGEST_SHOWN, Refusal
from rondel.serving.service import Served, Service
from rondel.serving.service_settings import MOST_ECHOED, MOST_LOGPROB_TOKENS, MOST_TEXTS
from rondel.serving.wire import CompletionRequest, Ids, WritingRequest, seed_of

PIECES_A_PROMPT, PIECES_A_SENTENCE = 20, 100
"""The fixed cost of a prompt and of a sentence's point, in pieces (see `Service.off_loop`)."""


@dataclass(frozen=True)
class CompletionPlan:
    """The requests to submit for a completion, one a choice, and how to report their outputs."""

    requests: list[Request]
    prompts: list[str]
    """The given prompts, for the log."""
    echoes: list[str]
    """What the text of each choice begins with; often nothing."""
    logprobs: int | None
    warnings: list[str]


async def read_request(service: Service, served: Served, body: CompletionRequest) -> CompletionPlan:
    """Check a request for completions and plan it. Raises `Refusal` or `InputError`."""
    texts = len(body.prompt or [""]) * body.n
    if texts > MOST_TEXTS:
        raise Refusal(f"{texts} texts are asked for; at most {MOST_TEXTS} at a time", param="n")
    check_tokens(service, texts, body.max_tokens)
    if body.best_of not in (None, body.n):
        raise Refusal("best_of can only be n, since texts are not ranked", param="best_of")
    # Built even if no token is requested, so that invalid settings are refused.
    settings = settings_of(body, body.max_tokens)
    read = kind_of(served.model.config).read_request
    plan: CompletionPlan = await read(service, served, body, settings if body.max_tokens else None)
    return plan


async def read_prompts(
    service: Service, served: Served, body: CompletionRequest, settings: GenerationSettings | None
) -> CompletionPlan:
    """Plan a completion by a model that continues prompts."""
    prompts: list[str | Ids] = body.prompt or [""]
    pieces = sum(map(len, prompts)) + PIECES_A_PROMPT * len(prompts)
    return await service.off_loop(pieces, partial(_read, served, body, settings, prompts))


async def read_sentences(
    service: Service, served: Served, body: CompletionRequest, settings: GenerationSettings | None
) -> CompletionPlan:
    """Plan a completion by a sentence VAE, which writes sentences from random points."""
    vae = cast(SentenceVAE, served.model)
    read = partial(_sentences, vae, body, settings)
    return await service.off_loop(body.n * PIECES_A_SENTENCE, read)


def _read(
    served: Served,
    body: CompletionRequest,
    settings: GenerationSettings | None,
    prompts: Sequence[str | Ids],
) -> CompletionPlan:
    """Encode prompts and make the requests. Choice K is sample K of the seed."""
    requests, echoes, warnings, scored = [], [], [], 0
    for prompt, index, count in _beginnings(prompts, body.n):
        if prompt:
            prime = _prime(served, prompt, body.logprobs if body.echo else None)
            shown = prime.text if body.echo else ""
        else:
            # The client does not know the opening, so it is part of the text, if it is shown.
            opening = served.model.choose_opening(seed_of(body.seed), index)
            shown = opening.shown
            prime = _prime(served, opening.prime, body.logprobs if shown else None)
        requests += [Request(prime, settings, index + k, body.logprobs) for k in range(count)]
        echoes += [shown] * count
        warnings += unknowns_in(served, body, prime.text)
        scored += count * ((settings.length if settings else 0) + (prime.left if shown else 0))
    if body.logprobs is not None and scored > MOST_LOGPROB_TOKENS:
        raise Refusal(
            f"log-probabilities of {scored} tokens are asked for; at most {MOST_LOGPROB_TOKENS} "
            "at a time",
            param="logprobs",
        )
    if sum(map(len, echoes)) > MOST_ECHOED:
        raise Refusal(
            f"the prompts would be echoed as more than {MOST_ECHOED} characters", param="echo"
        )
    return CompletionPlan(
        requests, _texts_of(prompts), echoes, body.logprobs, list(dict.fromkeys(warnings))
    )


def _beginnings(prompts: Sequence[str | Ids], n: int) -> Iterator[tuple[str | Ids, int, int]]:
    """Yield each prompt, the number of its first choice, and the number of its choices.

    An empty prompt is yielded for each of its choices: each has a different opening.
    """
    for number, prompt in enumerate(prompts):
        if prompt:
            yield prompt, number * n, n
        else:
            yield from ((prompt, number * n + k, 1) for k in range(n))


def _texts_of(prompts: Sequence[str | Ids]) -> list[str]:
    """Return the prompts for the log, each different one once."""
    return list(dict.fromkeys(p if isinstance(p, str) else str(p) for p in prompts))


def check_tokens(service: Service, texts: int, length: int) -> None:
    """Raise `Refusal` if the tokens of a request exceed the server's limit."""
    most = service.settings.max_tokens
    if texts * length > most:
        raise Refusal(
            f"{texts * length} tokens are asked for; this server writes at most {most} for a "
            "request, over all its texts",
            param="max_tokens",
        )


def settings_of(body: WritingRequest, length: int) -> GenerationSettings:
    """Return the settings to write so many tokens (1 if `length` is 0)."""
    rules = body.rules()
    mode = "argmax" if rules.get("temperature") == 0 and body.mode == "sample" else body.mode
    return generation_settings(max(1, length), mode, seed_of(body.seed), body.stop, 1, rules)


def _sentences(
    model: SentenceVAE, body: CompletionRequest, settings: GenerationSettings | None
) -> CompletionPlan:
    """Plan sentences at points drawn from the prior, as in `SentenceVAE.sample_sentences`."""
    if any(body.prompt or ()):
        raise Refusal("a sentence VAE does not continue a prompt; leave it out", param="prompt")
    if settings is None:
        raise Refusal("max_tokens must be at least 1 for a sentence VAE", param="max_tokens")
    check_can_write(model.tokenizer)
    length = min(settings.length, model.longest + 1)
    points = model.random_points(body.n, settings.seed)
    requests = latent_requests(
        model.latents,
        model.tokenizer,
        points,
        dataclasses.replace(settings, length=length),
        logprobs=body.logprobs,
    )
    return CompletionPlan(list(requests), [], [""] * body.n, body.logprobs, [])


def _prime(served: Served, prompt: str | Ids, logprobs: int | None) -> Prime:
    model = served.model
    ids_or_text = prompt if isinstance(prompt, str) else np.array(prompt, np.int64)
    try:
        return Prime(model.engine, model.tokenizer, ids_or_text, logprobs, served.prefixes)
    except InputError as error:
        raise Refusal(str(error), param="prompt") from None


def unknowns_in(served: Served, body: WritingRequest, text: str) -> list[str]:
    """Return a warning if a prompt has unknown tokens, or raise `Refusal` if they are refused."""
    names = [name[:LONGEST_SHOWN] for name in served.model.unknowns(text)]
    if not names:
        return []
    unknown = f"the model does not know {' '.join(map(repr, names))}"
    if body.unknown == "refuse" and not served.model.tokenizer.open_vocabulary:
        raise Refusal(
            f'{unknown}; leave it out, or ask for "unknown": "read" to have it read as unknown',
            param="prompt",
            code="unknown_characters",
        )
    return [f"{unknown}; read as unknown"]
