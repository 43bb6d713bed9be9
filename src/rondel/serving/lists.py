"""`POST /v1/samples`: lists of texts, optionally without repetitions or training text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from rondel.api.base import TRAINING
from rondel.data.store import TokenStore
from rondel.serving.background import answer_in_background, served_of
from rondel.serving.bodies import body_of, in_schema
from rondel.serving.completions import clean
from rondel.serving.error_responses import Refusal
from rondel.serving.requests import check_tokens, settings_of, unknowns_in
from rondel.serving.service import Served
from rondel.serving.service_settings import MOST_KNOWN, MOST_TRACED
from rondel.serving.wire import SamplesRequest

router = APIRouter(tags=["rondel"])

SamplesBody = Annotated[SamplesRequest, body_of(SamplesRequest)]


@router.post("/v1/samples", response_model=None, openapi_extra=in_schema(SamplesRequest))
async def samples(body: SamplesBody, request: Request) -> Response:
    """Write a list of texts as `Model.samples` does; `left_out` counts the discarded ones."""
    served = served_of(request, body.model)
    check_tokens(request.app.state.service, body.count, body.max_tokens)
    if body.prompt is not None and len(body.prompt) > MOST_TRACED:
        raise Refusal(f"the prompt has more than {MOST_TRACED} characters", param="prompt")
    settings = settings_of(body, body.max_tokens)

    def written(watch: Callable[[float], None]) -> dict[str, Any]:
        warnings = unknowns_in(served, body, body.prompt) if body.prompt else []
        if body.not_in_training_text:
            _check_training_text(served)
        listed = served.model.samples(
            body.count,
            body.prompt,
            unique=body.unique,
            not_in=TRAINING if body.not_in_training_text else (),
            length=settings.length,
            mode=settings.mode,
            seed=settings.seed,
            stop=settings.stop,
            **settings.rules,
        )
        texts = []
        for text in listed:
            texts.append(clean(text))
            watch(len(texts) / body.count)
        return {
            "object": "samples",
            "model": served.name,
            "texts": texts,
            "left_out": listed.left_out,
            "missing": listed.missing,
            **({"warnings": warnings} if warnings else {}),
        }

    return await answer_in_background(request, written)


def _check_training_text(served: Served) -> None:
    store = TokenStore.of_model(served.folder, served.model.config.vocab_size)
    tokens = 0 if store is None else sum(split.tokens for split in store.splits.values())
    if tokens > MOST_KNOWN:
        raise Refusal(
            f"the training text has more than {MOST_KNOWN} tokens; use rondel sample --not-in "
            "training",
            param="not_in_training_text",
        )
