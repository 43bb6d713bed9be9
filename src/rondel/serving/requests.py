"""What a client asks to have written: checked, and made into requests for a model's thread.

What a field may be is in `wire.py`. What this server and this model can do with all of them is
checked here, before anything is submitted: what is submitted is not refused any more.
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
from rondel.serving.service_settings import MOST_ECHOED, MOST_TEXTS, MOST_TOLD
from rondel.serving.wire import CompletionRequest, Ids, WritingRequest, seed_of

PIECES_A_PROMPT, PIECES_A_SENTENCE = 20, 100
"""What a prompt or a sentence's point costs, however short, as pieces of text do."""


@dataclass(frozen=True)
class Asked:
    """What can be answered: a request for the text of each choice, and how to report of them."""

    requests: list[Request]
    prompts: list[str]
    """The prompts that were given, for the log."""
    echoes: list[str]
    """What stands before the text of each choice, as part of it; often nothing."""
    logprobs: int | None
    warnings: list[str]


async def read_request(service: Service, served: Served, body: CompletionRequest) -> Asked:
    """What a request asks for. Raises `Refusal` or `InputError` for what cannot be done."""
    texts = len(body.prompt or [""]) * body.n
    if texts > MOST_TEXTS:
        raise Refusal(f"{texts} texts are asked for; at most {MOST_TEXTS} at a time", param="n")
    check_tokens(service, texts, body.max_tokens)
    if body.best_of not in (None, body.n):
        raise Refusal("best_of can only be n, since texts are not ranked", param="best_of")
    # Made in any case, so that what is wrong in it is told.
    settings = settings_of(body, body.max_tokens)
    read = kind_of(served.model.config).read_request
    asked: Asked = await read(service, served, body, settings if body.max_tokens else None)
    return asked


async def read_prompts(
    service: Service, served: Served, body: CompletionRequest, settings: GenerationSettings | None
) -> Asked:
    """What is asked of a model that writes on from prompts."""
    prompts: list[str | Ids] = body.prompt or [""]
    pieces = sum(map(len, prompts)) + PIECES_A_PROMPT * len(prompts)
    return await service.off_loop(pieces, partial(_read, served, body, settings, prompts))


async def read_sentences(
    service: Service, served: Served, body: CompletionRequest, settings: GenerationSettings | None
) -> Asked:
    """What is asked of a sentence VAE, which writes sentences from points of its own."""
    vae = cast(SentenceVAE, served.model)
    read = partial(_sentences, vae, body, settings)
    return await service.off_loop(body.n * PIECES_A_SENTENCE, read)


def _read(
    served: Served,
    body: CompletionRequest,
    settings: GenerationSettings | None,
    prompts: Sequence[str | Ids],
) -> Asked:
    """Prompts as tokens, and what is to be written after each. Choice K is sample K of the seed."""
    requests, echoes, warnings, told = [], [], [], 0
    for prompt, index, count in _beginnings(prompts, body.n):
        if prompt:
            prime = _prime(served, prompt, body.logprobs if body.echo else None)
            shown = prime.text if body.echo else ""
        else:
            # What the client cannot know of is a part of the text, if it is to be shown at all.
            opening = served.model.choose_opening(seed_of(body.seed), index)
            shown = opening.shown
            prime = _prime(served, opening.prime, body.logprobs if shown else None)
        requests += [Request(prime, settings, index + k, body.logprobs) for k in range(count)]
        echoes += [shown] * count
        warnings += unknowns_in(served, body, prime.text)
        told += count * ((settings.length if settings else 0) + (prime.left if shown else 0))
    if body.logprobs is not None and told > MOST_TOLD:
        raise Refusal(
            f"log-probabilities of {told} tokens are asked for; at most {MOST_TOLD} at a time",
            param="logprobs",
        )
    if sum(map(len, echoes)) > MOST_ECHOED:
        raise Refusal(
            f"the prompts would be echoed as more than {MOST_ECHOED} characters", param="echo"
        )
    return Asked(requests, _texts_of(prompts), echoes, body.logprobs, list(dict.fromkeys(warnings)))


def _beginnings(prompts: Sequence[str | Ids], n: int) -> Iterator[tuple[str | Ids, int, int]]:
    """Each prompt, the number of its first choice, and how many there are of it.

    An empty one stands for a beginning of the model's own, another for each choice.
    """
    for number, prompt in enumerate(prompts):
        if prompt:
            yield prompt, number * n, n
        else:
            yield from ((prompt, number * n + k, 1) for k in range(n))


def _texts_of(prompts: Sequence[str | Ids]) -> list[str]:
    """Prompts for the log, each different one once."""
    return list(dict.fromkeys(p if isinstance(p, str) else str(p) for p in prompts))


def check_tokens(service: Service, texts: int, length: int) -> None:
    """Raise `Refusal` if more is to be written than the server writes for a request."""
    most = service.settings.max_tokens
    if texts * length > most:
        raise Refusal(
            f"{texts * length} tokens are asked for; this server writes at most {most} for a "
            "request, over all its texts",
            param="max_tokens",
        )


def settings_of(body: WritingRequest, length: int) -> GenerationSettings:
    """How to write so many tokens, or one if there are none to be written."""
    rules = body.rules()
    mode = "argmax" if rules.get("temperature") == 0 and body.mode == "sample" else body.mode
    return generation_settings(max(1, length), mode, seed_of(body.seed), body.stop, 1, rules)


def _sentences(
    model: SentenceVAE, body: CompletionRequest, settings: GenerationSettings | None
) -> Asked:
    """Sentences at points drawn from the prior, as `SentenceVAE.sample_sentences` draws them."""
    if any(body.prompt or ()):
        raise Refusal("a sentence VAE goes on from no prompt; leave it out", param="prompt")
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
    return Asked(list(requests), [], [""] * body.n, body.logprobs, [])


def _prime(served: Served, prompt: str | Ids, logprobs: int | None) -> Prime:
    model = served.model
    ids_or_text = prompt if isinstance(prompt, str) else np.array(prompt, np.int64)
    try:
        return Prime(model.engine, model.tokenizer, ids_or_text, logprobs, served.prefixes)
    except InputError as error:
        raise Refusal(str(error), param="prompt") from None


def unknowns_in(served: Served, body: WritingRequest, text: str) -> list[str]:
    """What is told of a prompt that the model does not know all of, if it is read at all."""
    names = [name[:LONGEST_SHOWN] for name in served.model.unknowns(text)]
    if not names:
        return []
    told = f"the model does not know {' '.join(map(repr, names))}"
    if body.unknown == "refuse" and not served.model.tokenizer.open_vocabulary:
        raise Refusal(
            f'{told}; leave it out, or ask for "unknown": "read" to have it read as unknown',
            param="prompt",
            code="unknown_characters",
        )
    return [f"{told}; read as unknown"]
