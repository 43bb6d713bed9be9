"""`/v1/score`, `/v1/trace` and what a sentence VAE can do, beside the texts that are written."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request

from rondel.errors import InputError
from rondel.evaluation.framing import Framing
from rondel.evaluation.scoring import Columns, ScoringSettings
from rondel.inspection.trace import LONGEST_NAME
from rondel.latent_api import SentenceVAE
from rondel.serving.answers import unless_gone
from rondel.serving.completions import clean
from rondel.serving.errors import Refusal
from rondel.serving.service import Served, Service
from rondel.serving.settings import MOST_SCORED, MOST_TRACED
from rondel.serving.wire import (
    InterpolateRequest,
    ReconstructRequest,
    ScoreRequest,
    TraceRequest,
    seed_of,
)

router = APIRouter(tags=["rondel"])

T = TypeVar("T")


@router.post("/v1/score")
async def score(body: ScoreRequest, request: Request) -> dict[str, Any]:
    """How likely a model finds each part of one text, or of several: tables, column by column."""
    served = _served(request, body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    _check_length(sum(map(len, texts)) + len(body.context), MOST_SCORED)
    framing = Framing(body.start, body.end, body.context)
    settings = ScoringSettings(body.by, body.unit, body.reset, framing, causal=body.causal)
    tables = await _aside(request, lambda watch: served.model.score_many(texts, settings, watch))
    data = [{"index": n, "columns": _jsonable(table)} for n, table in enumerate(tables)]
    return {"object": "score", "model": served.name, "data": data}


@router.post("/v1/trace")
async def trace(body: TraceRequest, request: Request) -> dict[str, Any]:
    """What units do over a text: a value after each of its tokens."""
    served = _served(request, body.model)
    _check_length(len(body.input), MOST_TRACED)

    def traced(watch: Callable[[float], None]) -> dict[str, Any]:
        tracks = list(dict.fromkeys(_track_of(name) for name in body.units))
        with served.model.trace(body.input, tracks=tracks, watch=watch) as found:
            units = {name: found.values(found.unit(name)).round(5).tolist() for name in body.units}
            return {"tokens": list(map(clean, found.tokens)), "units": units}

    told = await _aside(request, traced)
    return {"object": "trace", "model": served.name, **told}


@router.post("/v1/reconstruct")
async def reconstruct(body: ReconstructRequest, request: Request) -> dict[str, Any]:
    """Read a sentence and write it back: from its mean, and from points drawn around it."""
    served = _served(request, body.model)
    model = _sentence_vae(served)
    sentences = await _aside(
        request,
        lambda _: model.reconstruct(body.input, body.samples + 1, seed=seed_of(body.seed)),
    )
    first, *samples = map(clean, sentences)
    return {"object": "reconstruction", "model": served.name, "sentence": first, "samples": samples}


@router.post("/v1/interpolate")
async def interpolate(body: InterpolateRequest, request: Request) -> dict[str, Any]:
    """Sentences at even steps from one to another."""
    served = _served(request, body.model)
    model = _sentence_vae(served)
    steps = await _aside(
        request,
        lambda _: model.interpolate(
            body.start, body.end, steps=body.steps, spherical=body.spherical,
            seed=seed_of(body.seed),
        ),
    )  # fmt: skip
    told = [{"fraction": s.share, "sentence": clean(s.text), "repeats": s.again} for s in steps]
    return {"object": "interpolation", "model": served.name, "steps": told}


def _served(request: Request, name: str | None) -> Served:
    service: Service = request.app.state.service
    served = service.find(name)
    request.state.log = {"model": served.name}
    return served


async def _aside(request: Request, work: Callable[[Callable[[float], None]], T]) -> T:
    """Do it in a thread; whoever leaves, or takes too long, has it stopped at the next chance."""
    service: Service = request.app.state.service
    stopped = False

    def watch(fraction: float) -> None:
        if stopped:
            raise _StoppedError

    doing = service.aside(partial(work, watch))
    try:
        limited = asyncio.wait_for(asyncio.shield(doing), service.settings.request_seconds)
        return await unless_gone(request, limited)
    except asyncio.TimeoutError:
        raise Refusal(
            f"this takes longer than {service.settings.request_seconds:g} s; ask for less",
            status=408,
            code="too_long",
        ) from None
    finally:
        stopped = True


class _StoppedError(Exception):
    """Nobody waits for this any more."""


def _sentence_vae(served: Served) -> SentenceVAE:
    if served.latent is None:
        raise Refusal(
            f"{served.name} is no sentence VAE; this needs one", param="model", code="wrong_model"
        )
    return served.latent


def _check_length(length: int, most: int) -> None:
    if length > most:
        raise Refusal(f"{length} characters are more than {most}; split them up", param="input")


def _track_of(unit: str) -> str:
    parts = unit.rsplit(":", 2)
    if len(parts) < 2:
        raise InputError(f"unit {unit[:LONGEST_NAME]!r} is no LAYER:UNIT, such as 1:1")
    return parts[0] if len(parts) == 3 else "hidden"


def _jsonable(table: Columns) -> dict[str, list[Any]]:
    """Columns as lists, where what is not there is null."""
    return {name: [_value(value) for value in column.tolist()] for name, column in table.items()}


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return clean(value) if isinstance(value, str) else value
