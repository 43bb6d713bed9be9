"""Answers that end with their client: one that is gone frees what it had at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
AT_A_TIME, MOST_INSIDE = 1_000, 64
"""Elements of a list that are written as JSON at a time, and values within each, at the most."""
PART = 65_536
"""Bytes of JSON that are sent at a time, or somewhat more."""


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
    """JSON in parts of no great size, where what is not a finite number is null.

    Whoever makes much of it does so in a thread; and has to let other threads run, which orjson
    does not before it has written what it is given.
    """
    parts, waiting, size = [], [], 0
    for piece in _json_pieces(told):
        waiting.append(piece)
        size += len(piece)
        if size > PART:
            parts.append(b"".join(waiting))
            waiting, size = [], 0
    return [*parts, b"".join(waiting)]


def _json_pieces(told: Any) -> Iterator[bytes]:
    if isinstance(told, dict) and not _is_small(told):
        for number, (name, value) in enumerate(told.items()):
            yield b"%b%b:" % (b"," if number else b"{", dumps(name))
            yield from _json_pieces(value)
        yield b"}"
    elif isinstance(told, list) and not all(map(_is_small, told)):
        for number, value in enumerate(told):
            yield b"," if number else b"["
            yield from _json_pieces(value)
        yield b"]"
    elif isinstance(told, list) and len(told) > AT_A_TIME:
        for begin in range(0, len(told), AT_A_TIME):
            yield (b"," if begin else b"[") + dumps(told[begin : begin + AT_A_TIME])[1:-1]
        yield b"]"
    else:
        yield dumps(told)


def _is_small(value: Any) -> bool:
    """Whether a value is no object or list, or one of a few that are none."""
    if not isinstance(value, (dict, list)):
        return True
    if len(value) > MOST_INSIDE:
        return False
    values = value.values() if isinstance(value, dict) else value
    return not any(isinstance(each, (dict, list)) for each in values)


def dumps(told: Any) -> bytes:
    """JSON of what is not large."""
    return orjson.dumps(told)


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
