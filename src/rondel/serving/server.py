"""The processes: one, or a few workers that share a port; they end when they are told to."""

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
from rondel.serving.app import KEY, SETTINGS, create_app, settle
from rondel.serving.gate import LONGEST_HEAD
from rondel.serving.metrics import SHARED_FOLDER
from rondel.serving.protocol import Protocol
from rondel.serving.service import MODEL_FILES, Service
from rondel.serving.service_settings import ServiceSettings

BACKLOG = 2048
"""Connections that wait to be accepted."""
SILENT_SECONDS = 60
"""After which a worker that does not answer its parent is killed: it has to start meanwhile."""
STALL_SECONDS = 60
"""After which a client that takes nothing of what it was sent is cut off, where the system can."""


class Lines(logging.Formatter):
    """A line of JSON for each thing that is logged."""

    def format(self, record: logging.LogRecord) -> str:
        """The line: as it is, if it is JSON already."""
        if record.name == "rondel.access":
            return record.getMessage()
        told: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return json.dumps(told)


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address. Raises `InputError` if it cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # Only of a socket that is known to be TCP does asyncio send what is written at once.
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
        # A name of labels too long, or of bytes that are no text, is no UnicodeError to a person.
        reason = error.strerror if isinstance(error, OSError) else "that is no name of a host"
        raise InputError(
            f"cannot listen at {host}, port {port}: {reason}; name others with --host and --port"
        ) from None
    # Workers that are started anew get it by inheritance.
    opened.set_inheritable(True)
    return opened


def run(
    settings: ServiceSettings, opened: socket.socket, key: str, ready: Callable[[], None]
) -> None:
    """Serve until a signal ends it, having answered what was under way.

    `ready` is called when models are loaded, and requests about to be taken. Raises
    `ModelFolderError` for a folder that is no model.
    """
    log_config = _log_config()
    logging.config.dictConfig(log_config)
    options: dict[str, Any] = {
        "http": Protocol,
        "ws": "none",
        "lifespan": "off",
        "log_config": log_config,
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": max(1, round(settings.drain_seconds)),
        "h11_max_incomplete_event_size": LONGEST_HEAD,
    }
    if settings.workers == 1:
        _run_one(settings, options, opened, key, ready)
    else:
        _run_several(settings, options, opened, key, ready)


def _run_one(
    settings: ServiceSettings,
    options: dict[str, Any],
    opened: socket.socket,
    key: str,
    ready: Callable[[], None],
) -> None:
    _on_signals(lambda number, frame: sys.exit(0))
    service = Service(settings)
    server = uvicorn.Server(uvicorn.Config(create_app(service, key), **options))
    settle()
    # Uvicorn raises the signal again once all is answered; nothing more is to come of it.
    _on_signals(lambda number, frame: None)
    opened.listen(BACKLOG)
    ready()
    server.run([opened])
    service.stop()


def _run_several(
    settings: ServiceSettings,
    options: dict[str, Any],
    opened: socket.socket,
    key: str,
    ready: Callable[[], None],
) -> None:
    with tempfile.TemporaryDirectory(prefix="rondel-serve-") as shared:
        copies = _copied(settings, Path(shared))
        opened.listen(BACKLOG)
        ready()
        os.environ[SHARED_FOLDER] = shared
        os.environ[SETTINGS] = dataclasses.replace(settings, copies=copies).to_json()
        os.environ[KEY] = key
        config = uvicorn.Config(
            "rondel.serving.app:from_environment",
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=SILENT_SECONDS,
            **options,
        )
        supervisor = Multiprocess(config, [opened])
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise RondelError("a worker failed; what it logged says why")


def _copied(settings: ServiceSettings, where: Path) -> tuple[tuple[str, str], ...]:
    """Copies of all models, by name: what every worker serves, whenever it is started.

    A folder may be replaced meanwhile. Raises `ModelFolderError` for one that is no model.
    """
    copies = []
    for number, (name, folder) in enumerate(settings.models):
        load(folder, precision=settings.precision)  # what is wrong with it is told here, once
        copy = where / f"model-{number}"
        copy.mkdir()
        for file in MODEL_FILES:
            shutil.copy2(Path(folder) / file, copy / file)
        shutil.copystat(folder, copy)
        if tokens := tokens_of(Path(folder)):
            # Large, and looked at only if a list is to have nothing of it.
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
        "formatters": {"lines": {"()": "rondel.serving.server.Lines"}},
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
