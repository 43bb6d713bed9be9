"""Answers that are worked out in a thread, beside the texts that are written."""

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
    """The model of that name, which is named in the log."""
    service: Service = request.app.state.service
    served = service.find(name)
    request.state.log = {"model": served.name}
    return served


async def answer_aside(
    request: Request, work: Callable[[Callable[[float], None]], dict[str, Any]]
) -> Response:
    """Answer what it gives, from a thread.

    Whoever leaves, or takes too long, has it stopped at the next chance.
    """
    service: Service = request.app.state.service
    stopped = False

    def watch(fraction: float) -> None:
        if stopped:
            raise _StoppedError

    doing = service.aside(lambda: json_parts(work(watch)))
    try:
        limited = asyncio.wait_for(asyncio.shield(doing), service.settings.request_seconds)
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
    """Nobody waits for this any more."""
