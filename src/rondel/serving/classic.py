"""`GET /`: the interface of char-rnn's web services, or in a browser the page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response

from rondel.pages import WRITING
from rondel.serving.answers import Streaming
from rondel.serving.completions import Answer, begin_answer, clean
from rondel.serving.service import Service
from rondel.serving.wire import LARGEST_INT, CompletionRequest

router = APIRouter(tags=["char-rnn"])

PAGE = WRITING
MODES = {"0": "argmax", "1": "sample", "2": "spaces"}


@router.get("/", response_model=None)
async def write(
    request: Request,
    prime: Annotated[str | None, Query(description="Text to continue.")] = None,
    n: Annotated[int, Query(ge=1, le=LARGEST_INT, description="Tokens to write.")] = 200,
    sample_mode: Annotated[
        Literal["0", "1", "2"],
        Query(description="0: the likeliest token; 1: draw; 2: draw where a word begins."),
    ] = "1",
    temperature: Annotated[float, Query(ge=0, allow_inf_nan=False)] = 1.0,
    seed: Annotated[int, Query(ge=0)] | None = None,
    model: str | None = None,
) -> Response:
    """Write plain text, including the prime; a browser that sends no parameters gets the page."""
    if not request.query_params and "text/html" in request.headers.get("accept", ""):
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})
    service: Service = request.app.state.service
    body = CompletionRequest(
        model=model,
        prompt=prime or None,
        max_tokens=n,
        temperature=temperature,
        seed=seed,
        mode=MODES[sample_mode],
        echo=service.find(model).model.reads_prompts,
    )
    answer = await begin_answer(request, body, whole=False)
    return Streaming(_texts(answer), "text/plain; charset=utf-8", answer.cancel)


async def _texts(answer: Answer) -> AsyncGenerator[bytes, None]:
    async for output in answer.outputs():
        if output.text:
            yield clean(output.text).encode()
