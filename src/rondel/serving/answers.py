"""Responses that are cancelled as soon as their client disconnects, and JSON written in parts."""

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
VALUES_AT_A_TIME, MOST_INSIDE = 1_000, 64
"""The most elements of a list encoded as JSON at a time, and the most values in each."""
PART = 65_536
"""Bytes of JSON after which a part ends."""


class ClientGone(Exception):
    """The client has closed the connection."""


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Return the result of `work`; if the client disconnects, cancel it and raise `ClientGone`."""
    working = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({working, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        for task in (working, disconnect):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working


class Json(Response):
    """A response of JSON that `json_parts` has encoded, sent part by part."""

    media_type = "application/json"

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts
        self.status_code, self.background = 200, None
        self.init_headers({"content-length": str(sum(map(len, parts)))})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def json_parts(value: Any) -> list[bytes]:
    """Encode a value as JSON, in parts of limited size; a number that is not finite is null.

    A large value is encoded in a thread, and orjson blocks all other threads until it returns: so
    it is called for a few values at a time.
    """
    parts, pieces, size = [], [], 0
    for piece in _json_pieces(value):
        pieces.append(piece)
        size += len(piece)
        if size > PART:
            parts.append(b"".join(pieces))
            pieces, size = [], 0
    return [*parts, b"".join(pieces)]


def _json_pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict) and not _is_small(value):
        for number, (name, each) in enumerate(value.items()):
            yield b"%b%b:" % (b"," if number else b"{", dumps(name))
            yield from _json_pieces(each)
        yield b"}"
    elif isinstance(value, list) and not all(map(_is_small, value)):
        for number, each in enumerate(value):
            yield b"," if number else b"["
            yield from _json_pieces(each)
        yield b"]"
    elif isinstance(value, list) and len(value) > VALUES_AT_A_TIME:
        for begin in range(0, len(value), VALUES_AT_A_TIME):
            yield (b"," if begin else b"[") + dumps(value[begin : begin + VALUES_AT_A_TIME])[1:-1]
        yield b"]"
    else:
        yield dumps(value)


def _is_small(value: Any) -> bool:
    """Return whether a value is neither object nor list, or one of few values without any."""
    if not isinstance(value, (dict, list)):
        return True
    if len(value) > MOST_INSIDE:
        return False
    values = value.values() if isinstance(value, dict) else value
    return not any(isinstance(each, (dict, list)) for each in values)


def dumps(value: Any) -> bytes:
    """Encode a small value as JSON."""
    return orjson.dumps(value)


class Streaming(Response):
    """A response whose body is sent piece by piece as it is made; `close` is always called."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], media_type: str, close: Callable[[], None]
    ) -> None:
        self._pieces, self._close = pieces, close
        self.status_code, self.media_type, self.background = 200, media_type, None
        # Tell proxies not to buffer it.
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, until it ends or the client disconnects."""
        sending = asyncio.ensure_future(self._send(send, head=scope["state"]["head"]))
        disconnect = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({sending, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        except OSError:
            pass  # the client has disconnected
        finally:
            self._close()
            for task in (sending, disconnect):
                task.cancel()
            await asyncio.gather(sending, disconnect, return_exceptions=True)

    async def _send(self, send: Send, *, head: bool) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not head:
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
