"""The bodies of requests: JSON that is read beside the event loop where it is long, and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from fastapi import Depends, Request
from pydantic import ValidationError
from pydantic.json_schema import models_json_schema

from rondel.serving.error_responses import Refusal, invalid
from rondel.serving.service import Service
from rondel.serving.wire import (
    Body,
    CompletionRequest,
    InterpolateRequest,
    ReconstructRequest,
    SamplesRequest,
    ScoreRequest,
    TraceRequest,
)

B = TypeVar("B", bound=Body)

KINDS: tuple[type[Body], ...] = (
    CompletionRequest, SamplesRequest, ScoreRequest, TraceRequest, ReconstructRequest,
    InterpolateRequest,
)  # fmt: skip
REFERENCE = "#/components/schemas/{model}"
MOST_VALUES = 250_000
"""Of JSON: `json.loads` lets no other thread have its turn before it is through."""
BYTES_A_PIECE = 10
"""Bytes of JSON that take no longer than a piece of text does (see `Service.off_loop`)."""


def body_of(kind: type[B]) -> Any:
    """What FastAPI is to give to a route's parameter: the request's body, as one of these.

    FastAPI's own reading parses and checks a body in the event loop, whatever its size.
    """

    async def read(request: Request) -> B:
        service: Service = request.app.state.service
        _check_type(request)
        raw = await request.body()
        return await service.off_loop(len(raw) // BYTES_A_PIECE, partial(parse, kind, raw))

    # FastAPI looks names up in the module, where there is no `B` to be found.
    reading: Callable[..., Coroutine[Any, Any, B]] = read
    reading.__annotations__ = {"request": Request}
    return Depends(reading)


def in_schema(kind: type[Body]) -> dict[str, Any]:
    """What is told of that body in the schema of a route."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(model=kind.__name__)}}}
    return {"requestBody": {"required": True, "content": content}}


def schemas() -> dict[str, Any]:
    """The schemas of all bodies, by name."""
    described = models_json_schema(
        [(kind, "validation") for kind in KINDS], ref_template=REFERENCE
    )[1]
    found: dict[str, Any] = described["$defs"]
    return found


def parse(kind: type[B], raw: bytes) -> B:
    """A body, checked. Raises `Refusal`."""
    if not raw:
        raise Refusal("the body is empty; send a JSON object")
    if raw.count(b",") > MOST_VALUES:
        raise Refusal(
            f"the body has more than {MOST_VALUES} values, or commas; send less at a time"
        )
    try:
        told = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refusal(f"the body is not UTF-8, from byte {error.start} on; send UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refusal(
            f"the body is no JSON: {error.msg[:1].lower()}{error.msg[1:]}, at line {error.lineno}, "
            f"column {error.colno}"
        ) from None
    except RecursionError:
        raise Refusal("the body is nested too deeply; send a flat JSON object") from None
    except ValueError:
        raise Refusal("the body has a number of too many digits") from None
    if not isinstance(told, dict):
        raise Refusal('the body is no JSON object, which has fields: {"name": value, …}')
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False)[0]) from None


def _check_type(request: Request) -> None:
    # Any page may send other types to any address, but for JSON a browser asks this server first.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise Refusal(
            "send the body as JSON, with the header Content-Type: application/json", status=415
        )
