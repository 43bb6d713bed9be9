"""`/v1/score`, `/v1/trace`, and for sentence VAEs `/v1/reconstruct` and `/v1/interpolate`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response

from rondel.api.sentence_vae import SentenceVAE
from rondel.errors import InputError
from rondel.evaluation.framing import Framing
from rondel.evaluation.score_rows import Columns
from rondel.evaluation.scoring import ScoringSettings
from rondel.inspection.trace import LONGEST_NAME
from rondel.serving.background import answer_in_background, served_of
from rondel.serving.bodies import body_of, in_schema
from rondel.serving.completions import clean
from rondel.serving.error_responses import Refusal
from rondel.serving.service_settings import MOST_SCORED, MOST_TRACED
from rondel.serving.wire import (
    InterpolateRequest,
    ReconstructRequest,
    ScoreRequest,
    TraceRequest,
    seed_of,
)

router = APIRouter(tags=["rondel"])

ScoreBody = Annotated[ScoreRequest, body_of(ScoreRequest)]
TraceBody = Annotated[TraceRequest, body_of(TraceRequest)]
ReconstructBody = Annotated[ReconstructRequest, body_of(ReconstructRequest)]
InterpolateBody = Annotated[InterpolateRequest, body_of(InterpolateRequest)]


@router.post("/v1/score", response_model=None, openapi_extra=in_schema(ScoreRequest))
async def score(body: ScoreBody, request: Request) -> Response:
    """Return how likely a model finds each part of one or several texts: tables by column."""
    served = served_of(request, body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    _check_length(sum(map(len, texts)) + len(body.context), MOST_SCORED)
    framing = Framing(body.start, body.end, body.context)
    settings = ScoringSettings(body.by, body.unit, body.reset, framing, causal=body.causal)

    def scored(watch: Callable[[float], None]) -> dict[str, Any]:
        tables = served.model.score_many(texts, settings, watch)
        data = [{"index": n, "columns": _jsonable(table)} for n, table in enumerate(tables)]
        return {"object": "score", "model": served.name, "data": data}

    return await answer_in_background(request, scored)


@router.post("/v1/trace", response_model=None, openapi_extra=in_schema(TraceRequest))
async def trace(body: TraceBody, request: Request) -> Response:
    """Return the values of units over a text: one after each token."""
    served = served_of(request, body.model)
    _check_length(len(body.input), MOST_TRACED)

    def traced(watch: Callable[[float], None]) -> dict[str, Any]:
        tracks = list(dict.fromkeys(_track_of(name) for name in body.units))
        with served.model.trace(body.input, tracks=tracks, watch=watch) as found:
            units = {name: found.values(found.unit(name)).round(5).tolist() for name in body.units}
            tokens = list(map(clean, found.tokens))
        return {"object": "trace", "model": served.name, "tokens": tokens, "units": units}

    return await answer_in_background(request, traced)


@router.post("/v1/reconstruct", response_model=None, openapi_extra=in_schema(ReconstructRequest))
async def reconstruct(body: ReconstructBody, request: Request) -> Response:
    """Encode a sentence, and decode its mean and points drawn from its posterior."""
    served = served_of(request, body.model)
    model = cast(SentenceVAE, served.model)
    _check_length(len(body.input), MOST_TRACED)

    def reconstructed(_: Callable[[float], None]) -> dict[str, Any]:
        texts = model.reconstruct(body.input, body.samples + 1, seed=seed_of(body.seed))
        first, *samples = map(clean, texts)
        head = {"object": "reconstruction", "model": served.name}
        return {**head, "sentence": first, "samples": samples}

    return await answer_in_background(request, reconstructed)


@router.post("/v1/interpolate", response_model=None, openapi_extra=in_schema(InterpolateRequest))
async def interpolate(body: InterpolateBody, request: Request) -> Response:
    """Return sentences at even steps from one to another."""
    served = served_of(request, body.model)
    model = cast(SentenceVAE, served.model)
    _check_length(len(body.start or "") + len(body.end or ""), MOST_TRACED)

    def interpolated(_: Callable[[float], None]) -> dict[str, Any]:
        steps = model.interpolate(
            body.start, body.end, steps=body.steps, spherical=body.spherical,
            seed=seed_of(body.seed),
        )  # fmt: skip
        listed = [
            {"fraction": s.share, "sentence": clean(s.text), "repeats": s.again} for s in steps
        ]
        return {"object": "interpolation", "model": served.name, "steps": listed}

    return await answer_in_background(request, interpolated)


def _check_length(length: int, most: int) -> None:
    if length > most:
        raise Refusal(f"{length} characters are more than {most}; split them up", param="input")


def _track_of(unit: str) -> str:
    parts = unit.rsplit(":", 2)
    if len(parts) < 2:
        raise InputError(f"unit {unit[:LONGEST_NAME]!r} is not LAYER:UNIT, such as 1:1")
    return parts[0] if len(parts) == 3 else "hidden"


def _jsonable(table: Columns) -> dict[str, list[Any]]:
    """Return columns as lists, with missing values as null."""
    return {name: [_value(value) for value in column.tolist()] for name, column in table.items()}


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return clean(value) if isinstance(value, str) else value
