"""`POST /v1/completions`, as OpenAI's clients speak it."""

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
from rondel.serving.requests import Asked, read_request
from rondel.serving.service import SHORT, Served, Service
from rondel.serving.wire import CompletionRequest

router = APIRouter(tags=["OpenAI"])
logger = logging.getLogger(__name__)

CompletionBody = Annotated[CompletionRequest, body_of(CompletionRequest)]
SURROGATES = re.compile("[\ud800-\udfff]")
"""What stands for bytes that are no UTF-8, which JSON has no place for."""


@router.post("/v1/completions", response_model=None, openapi_extra=in_schema(CompletionRequest))
async def complete(body: CompletionBody, request: Request) -> Response:
    """Write texts that go on from prompts, or tell how likely the prompts are."""
    answer = await begin_answer(request, body, whole=not body.stream)
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return Streaming(answer.events(usage=usage), "text/event-stream", answer.cancel)
    try:
        return Json(await unless_gone(request, answer.whole()))
    finally:
        answer.cancel()


async def begin_answer(request: Request, body: CompletionRequest, *, whole: bool) -> Answer:
    """Have written what a body asks for. Raises `Refusal`, `InputError` or `Busy`."""
    arrived = time.perf_counter()
    service: Service = request.app.state.service
    served = service.find(body.model)
    asked = await read_request(service, served, body)
    ticket = served.thread.submit(asked.requests, whole=whole)
    answer = Answer(service, served, asked, ticket, arrived)
    request.state.log = answer.log
    return answer


class Answer:
    """A ticket's outputs as an answer."""

    def __init__(
        self, service: Service, served: Served, asked: Asked, ticket: Ticket, arrived: float
    ) -> None:
        self._service, self._served = service, served
        self._asked, self._ticket, self.cancel = asked, ticket, ticket.cancel
        self._arrived = arrived
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }
        self._prime_tokens = self._tokens = 0
        self._offsets = [0] * len(ticket.requests)
        self.log: dict[str, Any] = {"model": served.name, "prompts": asked.prompts}

    async def whole(self) -> list[bytes]:
        """The answer as JSON, when all of it is there."""
        outputs: list[Output] = []
        async for found in self._arrivals():
            outputs += found
        pieces = len(outputs) + sum(map(self._pieces, outputs))
        return await self._service.off_loop(pieces, partial(self._whole, outputs))

    def _whole(self, outputs: Sequence[Output]) -> list[bytes]:
        choices = [self._choice(output) for output in self._merged(outputs)]
        told = {**self._head, "choices": choices, "usage": self._usage()}
        if self._asked.warnings:
            told["warnings"] = self._asked.warnings
        return json_parts(told)

    async def events(self, *, usage: bool) -> AsyncGenerator[bytes, None]:
        """The answer as it comes: server-sent events."""
        head = {**self._head, "usage": None} if usage else self._head
        try:
            async for output in self.outputs():
                if output.text or output.logprobs or output.finished:
                    made = partial(self._event, head, output)
                    for part in await self._service.off_loop(self._pieces(output), made):
                        yield part
            if usage:
                yield b"".join(event({**head, "choices": [], "usage": self._usage()}))
        except Exception as error:
            logger.exception("a stream failed")
            yield b"".join(event(refusal_of(error).body()))
        yield b"data: [DONE]\n\n"

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """What comes of each choice, merged as far as it is there."""
        async for found in self._arrivals():
            for output in await self._service.off_loop(len(found), partial(self._merged, found)):
                yield output

    async def _arrivals(self) -> AsyncGenerator[list[Output], None]:
        left = len(self._ticket.requests)
        while left:
            found = await self._ticket.outputs()
            left -= sum(output.finished for output in found)
            yield found

    def _event(self, head: dict[str, Any], output: Output) -> list[bytes]:
        short = self._pieces(output) <= SHORT
        return event({**head, "choices": [self._choice(output)]}, short=short)

    def _pieces(self, output: Output) -> int:
        return len(output.logprobs) * (2 + (self._asked.logprobs or 0))

    def _merged(self, outputs: Sequence[Output]) -> list[Output]:
        for output in outputs:
            self._note(output)
        self.log.update(self._usage())
        return [
            output
            if output.prime_tokens is None
            else output._replace(text=self._asked.echoes[output.number] + output.text)
            for output in merged(outputs)
        ]

    def _note(self, output: Output) -> None:
        if output.tokens and not self._tokens:
            seconds = time.perf_counter() - self._arrived
            self._served.metrics.first_token.observe(seconds)
            self.log["first_token_seconds"] = round(seconds, 4)
        self._tokens += output.tokens
        self._prime_tokens += output.prime_tokens or 0

    def _choice(self, output: Output) -> dict[str, Any]:
        logprobs = None
        if self._asked.logprobs is not None:
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
    """The likeliest tokens, and beside them the one that came, as OpenAI tells them."""
    if token.logprob is None:
        return None
    return {clean(text): value for text, value in {token.text: token.logprob, **token.top}.items()}


def merged(outputs: Iterable[Output]) -> list[Output]:
    """What there is of each choice, as one, in the order of the choices."""
    parts: dict[int, list[Output]] = {}
    for output in outputs:
        parts.setdefault(output.number, []).append(output)
    return [
        Output(
            choice,
            "".join(output.text for output in own),
            own[-1].finish_reason,
            logprobs=tuple(token for output in own for token in output.logprobs),
            prime_tokens=own[0].prime_tokens,
        )
        for choice, own in sorted(parts.items())
    ]


def event(told: dict[str, Any], *, short: bool = True) -> list[bytes]:
    """A server-sent event, in parts of no great size; in one, if it is short."""
    first, *others = [dumps(told)] if short else json_parts(told)
    parts = [b"data: " + first, *others]
    parts[-1] += b"\n\n"
    return parts


def clean(text: str) -> str:
    """Text that JSON can hold: what is no UTF-8 becomes U+FFFD."""
    return text if text.isascii() else SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
