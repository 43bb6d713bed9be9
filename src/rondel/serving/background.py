"""Responses computed in a thread, while the models go on writing texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from rondel.serving.answers import Json, json_parts, unless_gone
from rondel.serving.error_responses import Refusal
from rondel.serving.service import Served, Service


def served_of(request: Request, name: str | None) -> Served:
    """Find the model of a request, and log its name."""
    service: Service = request.app.state.service
    served = service.find(name)
    request.state.log = {"model": served.name}
    return served


async def answer_in_background(
    request: Request, work: Callable[[Callable[[float], None]], dict[str, Any]]
) -> Response:
    """Run `work` in a thread, and answer with its result as JSON.

    `work` is given a function to call now and then; it stops `work` by an exception if the client
    has disconnected or the time is over.
    """
    service: Service = request.app.state.service
    stopped = False

    def watch(fraction: float) -> None:
        if stopped:
            raise _StoppedError

    working = service.in_background(lambda: json_parts(work(watch)))
    try:
        limited = asyncio.wait_for(asyncio.shield(working), service.settings.request_seconds)
        return Json(await unless_gone(request, limited))
    except asyncio.TimeoutError:
        raise Refusal(
            f"this takes longer than {service.settings.request_seconds:g} s; ask for less",
            status=408,
            code="too_long",
        ) from None
    finally:
        stopped = True


class _StoppedError(Exception):
    """Raised in the work if its result is no longer wanted."""
