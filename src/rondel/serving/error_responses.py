"""Error responses, in the format of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
"""The status in the log, as in nginx's, if a client disconnected before the response."""
LONGEST_SHOWN = 100
"""Characters of a client's input that an error message repeats."""


class Refusal(Exception):
    """An error response; the message is one line and says what to do."""

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
        """Return the body of the response."""
        return error_body(str(self), self.status, self.param, self.code)


def error_body(
    message: str, status: int, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """Return an error in OpenAI's format."""
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal_of(error: Exception) -> Refusal:
    """Return the response to an exception."""
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


def invalid(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    """Return the response to a field that Pydantic found invalid: the first, if there are several.

    A field of one of several types has an error for each of them: the one that tells most is of the
    type that the value has.
    """
    field = _field_of(errors[0])
    of_field = [error for error in errors if _field_of(error) == field]
    error = max(of_field, key=lambda e: (not e["type"].endswith("_type"), len(e["loc"])))
    param = None if field is None else field[:LONGEST_SHOWN]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such field; /docs lists what there is"
    return Refusal(f"{param}: {message}" if param else message, param=param)


def _field_of(error: Mapping[str, Any]) -> str | None:
    return next((str(part) for part in error["loc"] if part not in ("body", "query")), None)


def handle_errors(app: FastAPI) -> None:
    """Answer every error of an app in that format."""

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        refusal = refusal_of(error)
        return JSONResponse(refusal.body(), refusal.status, refusal.headers)

    async def refuse_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        refusal = invalid(error.errors())
        return JSONResponse(refusal.body(), refusal.status)

    async def refuse_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code == 404:
            message = f"there is no {request.scope['path']} here; /docs lists what there is"
        headers = dict(error.headers or {})
        return JSONResponse(error_body(message, error.status_code), error.status_code, headers)

    async def leave(request: Request, error: Exception) -> Response:
        # Nobody receives it; without it, a disconnect would be logged as an error with a traceback.
        return Response(status_code=CLIENT_GONE)

    app.add_exception_handler(ClientGone, leave)
    app.add_exception_handler(RequestValidationError, refuse_invalid)
    app.add_exception_handler(HTTPException, refuse_http)
    for kind in (Refusal, RondelError, Exception):
        app.add_exception_handler(kind, refuse)
