"""The ASGI application: routes, error handlers, middleware and the OpenAPI schema."""

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
"""Environment variables for a worker: the settings and the API key."""
TURN_SECONDS = 0.001
"""The longest that the event loop waits for each busy thread: a fifth of Python's default."""

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
    """Create the application that serves a service's models; an empty `key` asks for none."""
    app = FastAPI(
        title="rondel",
        version=__version__,
        description="Recurrent language models: write, score and look inside.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the client's Host header
        responses={"4XX": ERROR},
    )
    app.state.service = service
    handle_errors(app)
    for module in (completions, lists, insight, classic, status):
        app.include_router(module.router)
    app.mount("/page", StaticFiles(directory=classic.PAGE), name="page")
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    _schema(app)  # computed now, so that no request has to wait for it
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
    """Create the application of a worker process, from its environment variables."""
    _end_with_parent()
    settings = ServiceSettings.from_json(os.environ[SETTINGS])
    app = create_app(Service(settings), os.environ.get(KEY, ""))
    prepare_process()
    return app


def prepare_process() -> None:
    """Exclude all that is loaded from garbage collection, and make threads take short turns.

    Both would delay requests: a pause for a collection, and threads that compute in Python, which
    now let the event loop run after `TURN_SECONDS`.
    """
    sys.setswitchinterval(TURN_SECONDS)
    gc.collect()
    gc.freeze()


def _end_with_parent() -> None:
    """Send this process a SIGTERM when its parent ends, which happens without notice if killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def _schema(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI schema, with this service's error responses instead of FastAPI's."""
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
