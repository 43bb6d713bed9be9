"""The application: routes, errors and what every request passes."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from rondel import __version__
from rondel.serving import bodies, classic, completions, insight, lists, status
from rondel.serving.error_responses import handle_errors
from rondel.serving.gate import Gate
from rondel.serving.service import Service
from rondel.serving.service_settings import ServiceSettings

SETTINGS, KEY = "RONDEL_SERVE", "RONDEL_API_KEY"
"""Environment variables: what a worker is to serve, and the key."""
TURN_SECONDS = 0.001
"""A fifth of Python's own: the event loop waits for so long, for each thread that is busy."""

ERROR = {
    "description": "What is wrong, and what to do.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}


def create_app(service: Service, key: str = "") -> FastAPI:
    """The application that serves these models, to those who have the key if there is one."""
    app = FastAPI(
        title="rondel",
        version=__version__,
        description="Recurrent language models: write, score and look inside.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # redirections name the host that the client claims to ask
        responses={"4XX": ERROR},
    )
    app.state.service = service
    handle_errors(app)
    for part in (completions, lists, insight, classic, status):
        app.include_router(part.router)
    app.mount("/page", StaticFiles(directory=classic.PAGE), name="page")
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    _schema(app)  # now, and not while others wait for their answers
    app.add_middleware(Gate, service=service, key=key)
    if service.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
        )
    return app


def from_environment() -> FastAPI:
    """The application of a worker, which its parent tells of by the environment."""
    _end_with_parent()
    settings = ServiceSettings.from_json(os.environ[SETTINGS])
    app = create_app(Service(settings), os.environ.get(KEY, ""))
    settle()
    return app


def settle() -> None:
    """Have the garbage collector leave alone what is loaded, and threads take short turns.

    Nothing of it is ever garbage, and looking through all of it holds everybody up. A thread that
    computes in Python lets the event loop have its turn after `TURN_SECONDS`.
    """
    sys.setswitchinterval(TURN_SECONDS)
    gc.collect()
    gc.freeze()


def _end_with_parent() -> None:
    """End, as after a signal, when the process that started this one is gone.

    It may be killed, and then tells nobody.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def _schema(app: FastAPI) -> dict[str, Any]:
    """The schema, where errors are as they are here and not FastAPI's own."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        schema["components"] = {"schemas": bodies.schemas()}
        app.openapi_schema = schema
    return app.openapi_schema
