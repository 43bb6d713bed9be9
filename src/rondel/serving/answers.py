"""Answers that end with their client: one that is gone frees what it had at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")


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
