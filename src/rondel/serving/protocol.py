"""Uvicorn's HTTP protocol, with timeouts, bounded parsing, and errors in this service's format."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rondel.serving.error_responses import error_body

HEADER_SECONDS = 20
"""How long a connection may be open before the headers of its request have arrived."""
PART = 2_048
"""Bytes that are parsed at a time: about 5 ms for a body in chunks of one byte."""


class Protocol(H11Protocol):
    """Uvicorn's protocol, hardened against invalid, slow and very large input."""

    _timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self._unread = bytearray()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Parse the first part of the data now, and the rest after other work in the loop."""
        waiting = bool(self._unread)
        self._unread += data
        if waiting:
            self.transport.pause_reading()
        else:
            self._parse()

    def _parse(self) -> None:
        """Parse one part, and start or stop the timeout of the next request."""
        part = bytes(self._unread[:PART])
        del self._unread[:PART]
        if part:
            super().data_received(part)
        if self.transport.is_closing():
            self._unread.clear()
        if self._is_idle() and not self.transport.is_closing():
            if self._timeout is None:
                self._wait()
        else:
            self._stop_waiting()
        if self._unread:
            self.transport.pause_reading()
            self.loop.call_soon(self._parse)
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop unread data and stop the timeout."""
        self._unread.clear()
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP, in this service's error format."""
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
        # If a response is being sent, no other can be.
        with contextlib.suppress(h11.LocalProtocolError):
            for part in parts:
                self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._timeout = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
