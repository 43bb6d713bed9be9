"""`POST /v1/completions`, as OpenAI's clients speak it."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from rondel.generation.logprobs import TokenLogprob
from rondel.serving.answers import Streaming, unless_gone
from rondel.serving.asking import Asked, read_request, submit
from rondel.serving.errors import refusal_of
from rondel.serving.scheduler import Output, Ticket
from rondel.serving.service import Served, Service
from rondel.serving.wire import CompletionRequest

router = APIRouter(tags=["OpenAI"])
logger = logging.getLogger(__name__)

SURROGATES = re.compile("[\ud800-\udfff]")
"""What stands for bytes that are no UTF-8, which JSON has no place for."""


@router.post("/v1/completions", response_model=None)
async def complete(body: CompletionRequest, request: Request) -> Response:
    """Write texts that go on from prompts, or tell how likely the prompts are."""
    arrived = time.perf_counter()
    service: Service = request.app.state.service
    served = service.find(body.model)
    asked = await read_request(service, served, body)
    ticket = submit(service, served, asked.works, whole=not body.stream)
    answer = Answer(served, asked, ticket, arrived)
    request.state.log = answer.log
    cancel = partial(served.scheduler.cancel, ticket)
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return Streaming(answer.events(usage=usage), "text/event-stream", cancel)
    try:
        return JSONResponse(await unless_gone(request, answer.whole()))
    finally:
        cancel()


class Answer:
    """What a ticket's outputs are told as."""

    def __init__(self, served: Served, asked: Asked, ticket: Ticket, arrived: float) -> None:
        self._served, self._asked, self._ticket = served, asked, ticket
        self._arrived = arrived
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }
        self._left = ticket.choices
        self._prime_tokens = self._tokens = 0
        self._offsets = [0] * ticket.choices
        self.log: dict[str, Any] = {"model": served.name, "prompts": asked.prompts}

    async def whole(self) -> dict[str, Any]:
        """The answer, when all of it is there."""
        outputs = [output async for output in self.outputs()]
        choices = [self._choice(output) for output in merged(outputs)]
        told = {**self._head, "choices": choices, "usage": self._usage()}
        return {**told, "warnings": self._asked.warnings} if self._asked.warnings else told

    async def events(self, *, usage: bool) -> AsyncGenerator[bytes, None]:
        """The answer as it comes: server-sent events."""
        head = {**self._head, "usage": None} if usage else self._head
        try:
            async for output in self.outputs():
                choice = self._choice(output)
                if choice["text"] or choice["finish_reason"]:
                    yield event({**head, "choices": [choice]})
            if usage:
                yield event({**head, "choices": [], "usage": self._usage()})
        except Exception as error:
            logger.exception("a stream failed")
            yield event(refusal_of(error).body())
        yield b"data: [DONE]\n\n"

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """What comes of each choice, merged as far as it is there."""
        while self._left:
            found = await self._ticket.outputs()
            for output in found:
                self._note(output)
            for output in merged(found):
                if output.read and self._asked.echo:
                    prompt = self._asked.prompts[output.choice]
                    yield output._replace(text=prompt + output.text)
                else:
                    yield output

    def _note(self, output: Output) -> None:
        if output.tokens and not self._tokens:
            seconds = time.perf_counter() - self._arrived
            self._served.metrics.first_token.observe(seconds)
            self.log["first_token_seconds"] = round(seconds, 4)
        self._tokens += output.tokens
        self._prime_tokens += output.prime_tokens
        self._left -= output.finish_reason is not None
        self.log.update(self._usage())

    def _choice(self, output: Output) -> dict[str, Any]:
        told = None
        if self._asked.logprobs is not None:
            told = self._logprobs(output.choice, output.told)
        return {
            "text": clean(output.text),
            "index": output.choice,
            "logprobs": told,
            "finish_reason": output.finish_reason,
        }

    def _logprobs(self, choice: int, told: Iterable[TokenLogprob]) -> dict[str, Any]:
        columns: dict[str, Any] = {
            name: [] for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        }
        for token in told:
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
        parts.setdefault(output.choice, []).append(output)
    return [
        Output(
            choice,
            "".join(output.text for output in own),
            own[-1].finish_reason,
            told=tuple(token for output in own for token in output.told),
            read=own[0].read,
        )
        for choice, own in sorted(parts.items())
    ]


def event(told: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return f"data: {json.dumps(told, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def clean(text: str) -> str:
    """Text that JSON can hold: what is no UTF-8 becomes U+FFFD."""
    return text if text.isascii() else SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
