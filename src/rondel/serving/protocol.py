"""HTTP as Uvicorn speaks it, with refusals in the error shape, and no patience without end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rondel.serving.error_responses import error_body

HEADER_SECONDS = 20
"""How long a connection may be open before its request is there."""
PART = 2_048
"""Bytes that are parsed at a time: of a body in chunks of one byte, they take some 5 ms."""


class Protocol(H11Protocol):
    """Uvicorn's, but for what is no HTTP, does not come, or comes all at once."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._unread = bytearray()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Parse what came: a part now, and the rest as others have had their turn."""
        waiting = bool(self._unread)
        self._unread += data
        if waiting:
            self.transport.pause_reading()
        else:
            self._parse()

    def _parse(self) -> None:
        """Parse a part, and wait anew where it is the beginning of a request."""
        part = bytes(self._unread[:PART])
        del self._unread[:PART]
        if part:
            super().data_received(part)
        if self.transport.is_closing():
            self._unread.clear()
        if self._is_idle() and not self.transport.is_closing():
            if self._patience is None:
                self._wait()
        else:
            self._stop_waiting()
        if self._unread:
            self.transport.pause_reading()
            self.loop.call_soon(self._parse)
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._unread.clear()
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the error shape."""
        body = json.dumps(error_body("this is no valid HTTP request", 400)).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        parts: list[Any] = [
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        # In the midst of an answer there is no place for another.
        with contextlib.suppress(h11.LocalProtocolError):
            for part in parts:
                self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._patience = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
