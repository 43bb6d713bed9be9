"""The server's processes: one, or several workers that share a port."""

from __future__ import annotations

import dataclasses
import json
import logging
import logging.config
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from rondel.api.load import load
from rondel.data.store import tokens_of
from rondel.errors import InputError, RondelError
from rondel.serving.app import KEY, SETTINGS, create_app, prepare_process
from rondel.serving.gate import LONGEST_HEAD
from rondel.serving.metrics import SHARED_FOLDER
from rondel.serving.protocol import Protocol
from rondel.serving.service import MODEL_FILES, Service
from rondel.serving.service_settings import ServiceSettings

BACKLOG = 2048
"""The most connections that wait to be accepted."""
SILENT_SECONDS = 60
"""A worker that does not answer its parent for so long, start-up included, is killed."""
STALL_SECONDS = 60
"""A client that receives nothing for so long is disconnected, if the system supports it."""


class JsonFormatter(logging.Formatter):
    """Formats each log record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; the access log's messages are JSON already."""
        if record.name == "rondel.access":
            return record.getMessage()
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket to an address. Raises `InputError` if that fails."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # asyncio sets TCP_NODELAY only if the socket's protocol is TCP.
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * STALL_SECONDS)
            opened.bind(address)
        except OSError:
            opened.close()
            raise
    except (OSError, UnicodeError) as error:
        # UnicodeError: the name has a label that is too long, or bytes that are not text.
        reason = error.strerror if isinstance(error, OSError) else "that is not a host's name"
        raise InputError(
            f"cannot listen at {host}, port {port}: {reason}; name others with --host and --port"
        ) from None
    # Restarted workers inherit it.
    opened.set_inheritable(True)
    return opened


def run(
    settings: ServiceSettings, opened: socket.socket, key: str, ready: Callable[[], None]
) -> None:
    """Serve until a signal ends it, after open requests were answered.

    `ready` is called when the models are loaded and requests can come. Raises `ModelFolderError`
    for a folder that is not a model.
    """
    logging.config.dictConfig(_log_config())
    serve = _serve_in_this_process if settings.workers == 1 else _serve_in_workers
    serve(settings, opened, key, ready)


def _serve_in_this_process(
    settings: ServiceSettings, opened: socket.socket, key: str, ready: Callable[[], None]
) -> None:
    _on_signals(lambda number, frame: sys.exit(0))
    service = Service(settings)
    server = uvicorn.Server(_uvicorn_config(create_app(service, key), settings))
    prepare_process()
    # Uvicorn raises the signal again after the shutdown; it has no effect then.
    _on_signals(lambda number, frame: None)
    opened.listen(BACKLOG)
    ready()
    server.run([opened])
    service.stop()


def _serve_in_workers(
    settings: ServiceSettings, opened: socket.socket, key: str, ready: Callable[[], None]
) -> None:
    with tempfile.TemporaryDirectory(prefix="rondel-serve-") as shared:
        copies = _copy_models(settings, Path(shared))
        opened.listen(BACKLOG)
        ready()
        os.environ[SHARED_FOLDER] = shared
        os.environ[SETTINGS] = dataclasses.replace(settings, copies=copies).to_json()
        os.environ[KEY] = key
        config = _uvicorn_config(
            "rondel.serving.app:from_environment",
            settings,
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=SILENT_SECONDS,
        )
        supervisor = Multiprocess(config, [opened])
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise RondelError("a worker failed; what it logged says why")


def _uvicorn_config(app: Any, settings: ServiceSettings, **others: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=_log_config(),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        h11_max_incomplete_event_size=LONGEST_HEAD,
        **others,
    )


def _copy_models(settings: ServiceSettings, where: Path) -> tuple[tuple[str, str], ...]:
    """Copy all models, so that a worker restarted later serves the same; return names and copies.

    Raises `ModelFolderError` for a folder that is not a model.
    """
    copies = []
    for number, (name, folder) in enumerate(settings.models):
        load(folder, precision=settings.precision)  # reports a damaged folder here, once
        copy = where / f"model-{number}"
        copy.mkdir()
        for file in MODEL_FILES:
            shutil.copy2(Path(folder) / file, copy / file)
        shutil.copystat(folder, copy)
        if tokens := tokens_of(Path(folder)):
            # Large, and read only for lists without training text.
            (copy / "tokens").symlink_to(tokens.resolve())
        copies.append((name, str(copy)))
    return tuple(copies)


def _on_signals(do: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, do)


def _log_config() -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": "rondel.serving.server.JsonFormatter"}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {
            "rondel": {"handlers": ["out"], "level": "INFO", "propagate": False},
            "uvicorn": {"handlers": ["out"], "level": "WARNING", "propagate": False},
        },
    }
