"""Request bodies: parsed and checked, outside the event loop if they are long."""

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
"""The most values in a body: `json.loads` blocks all other threads until it returns."""
BYTES_A_PIECE = 10
"""Bytes of JSON that take as long to read as a piece of text (see `Service.off_loop`)."""


def body_of(kind: type[B]) -> Any:
    """Declare a route's parameter as the request's body, of class `kind`.

    Used instead of FastAPI's way, which parses and checks any body in the event loop.
    """

    async def read(request: Request) -> B:
        service: Service = request.app.state.service
        _check_type(request)
        raw = await request.body()
        return await service.off_loop(len(raw) // BYTES_A_PIECE, partial(parse, kind, raw))

    # FastAPI evaluates annotations in the module, where `B` is not a type.
    reading: Callable[..., Coroutine[Any, Any, B]] = read
    reading.__annotations__ = {"request": Request}
    return Depends(reading)


def in_schema(kind: type[Body]) -> dict[str, Any]:
    """Return the OpenAPI schema of a route's body."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(model=kind.__name__)}}}
    return {"requestBody": {"required": True, "content": content}}


def schemas() -> dict[str, Any]:
    """Return the schemas of all bodies, by name."""
    described = models_json_schema(
        [(kind, "validation") for kind in KINDS], ref_template=REFERENCE
    )[1]
    found: dict[str, Any] = described["$defs"]
    return found


def parse(kind: type[B], raw: bytes) -> B:
    """Parse and check a body. Raises `Refusal`."""
    if not raw:
        raise Refusal("the body is empty; send a JSON object")
    if raw.count(b",") > MOST_VALUES:
        raise Refusal(
            f"the body has more than {MOST_VALUES} values, or commas; send less at a time"
        )
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refusal(f"the body is not UTF-8, from byte {error.start} on; send UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refusal(
            f"the body is not JSON: {error.msg[:1].lower()}{error.msg[1:]}, at line "
            f"{error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise Refusal("the body is nested too deeply; send a flat JSON object") from None
    except ValueError:
        raise Refusal("the body has a number of too many digits") from None
    if not isinstance(value, dict):
        raise Refusal('the body is not a JSON object: send {"name": value, …}')
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False)) from None


def _check_type(request: Request) -> None:
    # A web page may send other types to any server; for JSON, a browser asks this server first.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise Refusal(
            "send the body as JSON, with the header Content-Type: application/json", status=415
        )
