"""Answers that end with their client: one that is gone frees what it had at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
AT_A_TIME, PART = 1_000, 65_536
"""Values that are written as JSON at a time, and characters of a part."""


class ClientGone(Exception):
    """Whoever asked has closed the connection."""


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What the work gives. Raises `ClientGone`, the work cancelled, if its client leaves."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientGone
        return doing.result()
    finally:
        for task in (doing, leaving):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await doing


class Json(Response):
    """JSON that was made into bytes already (by `json_parts`), and is sent part by part."""

    media_type = "application/json"

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts
        self.status_code, self.background = 200, None
        self.init_headers({"content-length": str(sum(map(len, parts)))})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def json_parts(told: Any) -> list[bytes]:
    """JSON in parts of no great size.

    Whoever makes much of it does so in a thread; and has to let other threads have their turn,
    which `json.dumps` does not before it is through.
    """
    parts, waiting, size = [], [], 0
    for piece in _json_pieces(told):
        waiting.append(piece)
        size += len(piece)
        if size > PART:
            parts.append("".join(waiting).encode())
            waiting, size = [], 0
    return [*parts, "".join(waiting).encode()]


def _json_pieces(told: Any) -> Iterator[str]:
    values = told.values() if isinstance(told, dict) else told if isinstance(told, list) else ()
    if not any(isinstance(value, (dict, list)) for value in values):
        if not isinstance(told, list):
            yield dumps(told)
            return
        yield "["
        for begin in range(0, len(told), AT_A_TIME):
            yield "," * (begin > 0) + dumps(told[begin : begin + AT_A_TIME])[1:-1]
        yield "]"
    elif isinstance(told, dict):
        for number, (name, value) in enumerate(told.items()):
            yield f"{',' if number else '{'}{dumps(name)}:"
            yield from _json_pieces(value)
        yield "}"
    else:
        for number, value in enumerate(told):
            yield "," if number else "["
            yield from _json_pieces(value)
        yield "]"


def dumps(told: Any) -> str:
    """JSON of what is not large."""
    return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Streaming(Response):
    """A body that is sent piece by piece, each as it comes; whatever happens, `close` is called."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], media_type: str, close: Callable[[], None]
    ) -> None:
        self._pieces, self._close = pieces, close
        self.status_code, self.media_type, self.background = 200, media_type, None
        # Proxies are to pass it on as it comes.
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, until it ends or its client leaves."""
        sending = asyncio.ensure_future(self._send(send, head=scope["state"]["head"]))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        except OSError:
            pass  # the client is gone
        finally:
            self._close()
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send, *, head: bool) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not head:
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
