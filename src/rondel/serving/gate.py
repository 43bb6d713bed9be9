"""Middleware for every request: checks of host, key and body size, the access log and metrics.

Paths are taken from `scope["path"]`, by which routes are chosen; `Request.url` is built from the
Host header, which a client can forge.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rondel.serving.error_responses import Refusal, error_body
from rondel.serving.service import Service

access = logging.getLogger("rondel.access")

OPEN = re.compile(r"/(healthz|readyz|docs|openapi\.json|page/.*)")
"""Paths that need no key: they reveal nothing about the models."""
BODY_SECONDS = 30
LONGEST_HEAD, LONGEST_NAME = 32_768, 100
SECURITY = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Gate:
    """ASGI middleware; requests need the `key`, unless it is empty."""

    def __init__(self, app: ASGIApp, service: Service, key: str) -> None:
        self._app, self._service, self._key = app, service, key.encode()
        self._hosts = service.settings.hosts(with_key=bool(key))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived, status, head = time.perf_counter(), 0, scope["method"] == "HEAD"
        scope.setdefault("state", {})["head"] = head
        # HEAD is handled as GET, without the body.
        routed = {**scope, "method": "GET"} if head else scope

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *SECURITY]}
            elif head and "body" in message:
                message = {**message, "body": b""}
            await send(message)

        try:
            try:
                _check_head(scope)
                self._check_host(Request(scope))
                self._check_key(Request(scope))
                body = await self._body(Request(scope), receive)
            except Refusal as refusal:
                answer = JSONResponse(refusal.body(), refusal.status, refusal.headers)
                await answer(routed, receive, sent)
            else:
                await self._app(routed, _replayed(body, receive), sent)
        except asyncio.CancelledError:
            # The time for open requests at shutdown is over.
            if not status:
                ending = error_body("the server is shutting down", 503, code="shutting_down")
                await JSONResponse(ending, 503)(routed, receive, sent)
        finally:
            self._log(scope, routed.get("route"), status, time.perf_counter() - arrived)

    def _check_host(self, request: Request) -> None:
        # Against DNS rebinding: a web page whose host name was made to resolve to this server.
        given = request.headers.get("host", "")
        if self._hosts and given and _name_of(given) not in self._hosts:
            raise Refusal(
                f"this server does not answer as {given[:LONGEST_NAME]!r}; if it is meant to, "
                "start it with --allow-host NAME",
                status=403,
                code="unknown_host",
            )

    def _check_key(self, request: Request) -> None:
        if not self._key or OPEN.fullmatch(request.scope["path"]) or _asks_for_page(request):
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        # In constant time, so that the duration does not reveal the key; as bytes, which Starlette
        # decodes as Latin-1.
        is_right = hmac.compare_digest(given.strip().encode("latin-1"), self._key)
        if not (is_right and kind.lower() == "bearer"):
            raise Refusal(
                "this server asks for an API key: send it as Authorization: Bearer KEY",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _body(self, request: Request, receive: Receive) -> bytes:
        most = self._service.settings.max_body
        # h11 has checked that it is at most 20 digits.
        if int(request.headers.get("content-length", "0")) > most:
            raise _too_large(most)
        try:
            return await asyncio.wait_for(_whole(receive, most), BODY_SECONDS)
        except asyncio.TimeoutError:
            raise Refusal("the body did not come in time", status=408) from None

    def _log(self, scope: Scope, route: object, status: int, seconds: float) -> None:
        path = getattr(route, "path", "other")
        self._service.metrics.requests.labels(_method(scope), path, str(status)).inc()
        self._service.metrics.seconds.labels(path).observe(seconds)
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "method": _method(scope),
            "path": path,
            "status": status or None,  # None: the client disconnected before the response
            "seconds": round(seconds, 4),
            "client": (scope.get("client") or ("",))[0],
            **(scope["state"].get("log") or {}),
        }
        if not self._service.settings.log_prompts:
            entry.pop("prompts", None)
        access.info(json.dumps(entry))


def _name_of(host: str) -> str:
    """Return the name in a Host header, without the port."""
    name = host if host.endswith("]") else re.sub(r":\d*$", "", host)
    return name.strip("[]").rstrip(".").lower()


def _check_head(scope: Scope) -> None:
    size = len(scope["query_string"]) + sum(len(n) + len(v) for n, v in scope["headers"])
    if size > LONGEST_HEAD:
        raise Refusal(
            f"address and headers are larger than {LONGEST_HEAD} bytes; send text as a body",
            status=431,
            code="head_too_large",
        )


async def _whole(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _too_large(most)
        more = message.get("more_body", False)
    return b"".join(parts)


def _method(scope: Scope) -> str:
    """Return the method, or "other": each label of a metric is kept in memory."""
    known = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")
    return scope["method"] if scope["method"] in known else "other"


def _asks_for_page(request: Request) -> bool:
    return (
        request.scope["path"] == "/"
        and not request.scope["query_string"]
        and "text/html" in request.headers.get("accept", "")
    )


def _too_large(most: int) -> Refusal:
    return Refusal(
        f"the body is larger than {most} bytes; send less at a time",
        status=413,
        code="body_too_large",
        headers={"Connection": "close"},
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body, which was read already, and then what follows."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
