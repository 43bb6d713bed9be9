"""What goes wrong, in the shape that OpenAI's clients know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from rondel.errors import InputError, RondelError, WrongKindError
from rondel.serving.answers import ClientGone
from rondel.serving.handoff import Busy

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


CLIENT_GONE = 499
"""The status that the log has, as nginx's has it, where a client left before an answer."""
LONGEST_SHOWN = 100
"""Characters of what a client sent that it is told again."""


class Refusal(Exception):
    """A request that is not answered, and why: in one line that says what to do."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The error as JSON has it."""
        return error_body(str(self), self.status, self.param, self.code)


def error_body(
    message: str, status: int, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of an error."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Busy):
        headers = {"Retry-After": str(error.retry_after)}
        return Refusal(str(error), status=429, code="queue_full", headers=headers)
    if isinstance(error, WrongKindError):
        return Refusal(str(error), param="model", code="wrong_model")
    if isinstance(error, InputError):
        return Refusal(str(error))
    if isinstance(error, RondelError):
        return Refusal(str(error), status=500)
    return Refusal("the server failed at this; its log says why", status=500)


def invalid(error: Mapping[str, Any]) -> Refusal:
    """What a client is told of something that Pydantic found wrong."""
    where = [str(part) for part in error["loc"] if part not in ("body", "query")]
    param = where[0][:LONGEST_SHOWN] if where else None
    told = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        told = "there is no such field; /docs lists what there is"
    return Refusal(f"{param}: {told}" if param else told, param=param)


def handle_errors(app: FastAPI) -> None:
    """Answer every error of an app in that shape."""

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        refusal = refusal_of(error)
        return JSONResponse(refusal.body(), refusal.status, refusal.headers)

    async def refuse_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        refusal = invalid(error.errors()[0])
        return JSONResponse(refusal.body(), refusal.status)

    async def refuse_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code == 404:
            message = f"there is no {request.scope['path']} here; /docs lists what there is"
        headers = dict(error.headers or {})
        return JSONResponse(error_body(message, error.status_code), error.status_code, headers)

    async def leave(request: Request, error: Exception) -> Response:
        # It goes to nobody; that a client leaves is no error, to be logged with a trace.
        return Response(status_code=CLIENT_GONE)

    app.add_exception_handler(ClientGone, leave)
    app.add_exception_handler(RequestValidationError, refuse_invalid)
    app.add_exception_handler(HTTPException, refuse_http)
    for kind in (Refusal, RondelError, Exception):
        app.add_exception_handler(kind, refuse)
