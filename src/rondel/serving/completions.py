"""`POST /v1/completions`, as in OpenAI's API."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from rondel.generation.logprobs import TokenLogprob
from rondel.generation.stream import Output
from rondel.serving.answers import Json, Streaming, dumps, json_parts, unless_gone
from rondel.serving.bodies import body_of, in_schema
from rondel.serving.error_responses import refusal_of
from rondel.serving.handoff import Ticket
from rondel.serving.requests import CompletionPlan, read_request
from rondel.serving.service import SHORT, Served, Service
from rondel.serving.wire import CompletionRequest

router = APIRouter(tags=["OpenAI"])
logger = logging.getLogger(__name__)

CompletionBody = Annotated[CompletionRequest, body_of(CompletionRequest)]
SURROGATES = re.compile("[\ud800-\udfff]")
"""Lone surrogates represent invalid UTF-8 in a text; JSON cannot have them."""


@router.post("/v1/completions", response_model=None, openapi_extra=in_schema(CompletionRequest))
async def complete(body: CompletionBody, request: Request) -> Response:
    """Write texts that continue prompts, or return how likely the prompts are."""
    answer = await begin_answer(request, body, whole=not body.stream)
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return Streaming(answer.events(usage=usage), "text/event-stream", answer.cancel)
    try:
        return Json(await unless_gone(request, answer.whole()))
    finally:
        answer.cancel()


async def begin_answer(request: Request, body: CompletionRequest, *, whole: bool) -> Answer:
    """Submit the texts that a body requests. Raises `Refusal`, `InputError` or `Busy`."""
    arrived = time.perf_counter()
    service: Service = request.app.state.service
    served = service.find(body.model)
    plan = await read_request(service, served, body)
    ticket = served.thread.submit(plan.requests, whole=whole)
    answer = Answer(service, served, plan, ticket, arrived)
    request.state.log = answer.log
    return answer


class Answer:
    """Formats a ticket's outputs as an OpenAI response."""

    def __init__(
        self, service: Service, served: Served, plan: CompletionPlan, ticket: Ticket, arrived: float
    ) -> None:
        self._service, self._served = service, served
        self._plan, self._ticket, self.cancel = plan, ticket, ticket.cancel
        self._arrived = arrived
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }
        self._prime_tokens = self._tokens = 0
        self._offsets = [0] * len(ticket.requests)
        self.log: dict[str, Any] = {"model": served.name, "prompts": plan.prompts}

    async def whole(self) -> list[bytes]:
        """Wait for all outputs, and return the answer as JSON in parts."""
        outputs: list[Output] = []
        async for arrived in self._arrivals():
            outputs += arrived
        pieces = len(outputs) + sum(map(self._pieces, outputs))
        return await self._service.off_loop(pieces, partial(self._whole, outputs))

    def _whole(self, outputs: Sequence[Output]) -> list[bytes]:
        choices = [self._choice(output) for output in self._merged(outputs)]
        answer = {**self._head, "choices": choices, "usage": self._usage()}
        if self._plan.warnings:
            answer["warnings"] = self._plan.warnings
        return json_parts(answer)

    async def events(self, *, usage: bool) -> AsyncGenerator[bytes, None]:
        """Yield the answer as server-sent events, as outputs arrive."""
        head = {**self._head, "usage": None} if usage else self._head
        try:
            async for output in self.outputs():
                if output.text or output.logprobs or output.finished:
                    make = partial(self._event, head, output)
                    for part in await self._service.off_loop(self._pieces(output), make):
                        yield part
            if usage:
                yield b"".join(event({**head, "choices": [], "usage": self._usage()}))
        except Exception as error:
            logger.exception("a stream failed")
            yield b"".join(event(refusal_of(error).body()))
        yield b"data: [DONE]\n\n"

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """Yield outputs as they arrive, those of a choice that arrive together merged."""
        async for arrived in self._arrivals():
            merge = partial(self._merged, arrived)
            for output in await self._service.off_loop(len(arrived), merge):
                yield output

    async def _arrivals(self) -> AsyncGenerator[list[Output], None]:
        left = len(self._ticket.requests)
        while left:
            arrived = await self._ticket.outputs()
            left -= sum(output.finished for output in arrived)
            yield arrived

    def _event(self, head: dict[str, Any], output: Output) -> list[bytes]:
        short = self._pieces(output) <= SHORT
        return event({**head, "choices": [self._choice(output)]}, short=short)

    def _pieces(self, output: Output) -> int:
        return len(output.logprobs) * (2 + (self._plan.logprobs or 0))

    def _merged(self, outputs: Sequence[Output]) -> list[Output]:
        for output in outputs:
            self._count(output)
        self.log.update(self._usage())
        return [
            output
            if output.prime_tokens is None
            else output._replace(text=self._plan.echoes[output.number] + output.text)
            for output in merged(outputs)
        ]

    def _count(self, output: Output) -> None:
        if output.tokens and not self._tokens:
            seconds = time.perf_counter() - self._arrived
            self._served.metrics.first_token.observe(seconds)
            self.log["first_token_seconds"] = round(seconds, 4)
        self._tokens += output.tokens
        self._prime_tokens += output.prime_tokens or 0

    def _choice(self, output: Output) -> dict[str, Any]:
        logprobs = None
        if self._plan.logprobs is not None:
            logprobs = self._logprobs(output.number, output.logprobs)
        return {
            "text": clean(output.text),
            "index": output.number,
            "logprobs": logprobs,
            "finish_reason": output.finish_reason,
        }

    def _logprobs(self, choice: int, tokens: Iterable[TokenLogprob]) -> dict[str, Any]:
        columns: dict[str, Any] = {
            name: [] for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        }
        for token in tokens:
            columns["tokens"].append(clean(token.text))
            columns["token_logprobs"].append(token.logprob)
            columns["top_logprobs"].append(_top(token))
            columns["text_offset"].append(self._offsets[choice])
            self._offsets[choice] += len(token.text)
        return columns

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self._prime_tokens,
            "completion_tokens": self._tokens,
            "total_tokens": self._prime_tokens + self._tokens,
        }


def _top(token: TokenLogprob) -> dict[str, float] | None:
    """Return the likeliest tokens and the chosen one, as in OpenAI's `top_logprobs`."""
    if token.logprob is None:
        return None
    return {clean(text): value for text, value in {token.text: token.logprob, **token.top}.items()}


def merged(outputs: Iterable[Output]) -> list[Output]:
    """Merge the outputs of each choice into one, in the order of the choices."""
    by_choice: dict[int, list[Output]] = {}
    for output in outputs:
        by_choice.setdefault(output.number, []).append(output)
    return [
        Output(
            choice,
            "".join(output.text for output in of_choice),
            of_choice[-1].finish_reason,
            logprobs=tuple(token for output in of_choice for token in output.logprobs),
            prime_tokens=of_choice[0].prime_tokens,
        )
        for choice, of_choice in sorted(by_choice.items())
    ]


def event(value: dict[str, Any], *, short: bool = True) -> list[bytes]:
    """Encode a server-sent event: in one part if it is short, else in parts of limited size."""
    first, *others = [dumps(value)] if short else json_parts(value)
    parts = [b"data: " + first, *others]
    parts[-1] += b"\n\n"
    return parts


def clean(text: str) -> str:
    """Replace invalid UTF-8 in a text by U+FFFD, so that JSON can hold it."""
    return text if text.isascii() else SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
