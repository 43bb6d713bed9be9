"""Clients of a completions server that cost little, since they run beside it: bare sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

HOST = "127.0.0.1"
START_SECONDS = 120
TEXT = json.JSONDecoder()


@dataclass
class Heard:
    """What clients heard in a stretch of time."""

    seconds: float = 0.0
    characters: int = 0
    answers: int = 0
    first: list[float] = field(default_factory=list)
    """Seconds from each request to the first of its text."""

    @property
    def rate(self) -> float:
        """Characters a second."""
        return self.characters / self.seconds


@contextlib.contextmanager
def server(*command: str) -> Iterator[int]:
    """A server under way on a free port, which stands for {port} in its command."""
    port = free_port()
    parts = [part.replace("{port}", str(port)) for part in command]
    with subprocess.Popen(
        [sys.executable, *parts], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(port, process)
            yield port
        finally:
            # At once: one that takes requests in turn would go on with those that it has.
            process.kill()


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"the server {' '.join(map(str, process.args))} did not start")


def ask_for(port: int, clients: int, seconds: float, asked: dict[str, Any]) -> Heard:
    """So many clients at once, each with its next request when one is answered.

    Requests differ in length, so that they come and go at different times, from the start on, and
    in the number that stands in their prompt for {number}. What is heard in the first fifth of the
    time is not counted.
    """
    return run(_ask_for(port, clients, seconds, asked))


def run(work: Coroutine[Any, Any, T]) -> T:
    """What it gives, in a thread of its own, as this one may have an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _ask_for(port: int, clients: int, seconds: float, asked: dict[str, Any]) -> Heard:
    heard = Heard()
    begin = time.perf_counter()
    since, until = begin + seconds / 5, begin + seconds
    tasks = [
        asyncio.create_task(_client(port, number, clients, since, until, asked, heard))
        for number in range(clients)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if not isinstance(error, asyncio.CancelledError):
            raise SystemExit(f"a client failed: {error!r}")
    heard.seconds = until - since
    return heard


async def _client(
    port: int,
    number: int,
    clients: int,
    since: float,
    until: float,
    asked: dict[str, Any],
    heard: Heard,
) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    turn = 0
    try:
        while True:
            # The first of each client is short by so much that they end one after the other.
            share = (number + 1) / clients if turn == 0 else 0.5 + (number * 7 + turn * 3) % 10 / 10
            own = {
                **asked,
                "prompt": asked["prompt"].format(number=1000 * number + turn),
                "max_tokens": max(1, int(asked["max_tokens"] * share)),
            }
            turn += 1
            await _one(reader, writer, own, since, until, heard)
    finally:
        writer.close()


async def _one(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    asked: dict[str, Any],
    since: float,
    until: float,
    heard: Heard,
) -> None:
    body = json.dumps(asked).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    sent = time.perf_counter()
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if not headers.startswith("http/1.1 200"):
        raise RuntimeError(headers)
    pieces = _chunks(reader) if "chunked" in headers else _whole(reader, headers)
    first = True
    async for text in pieces:
        now = time.perf_counter()
        if since <= now <= until:
            heard.characters += len(text)
            if first:
                heard.first.append(now - sent)
        first = False
    heard.answers += 1


async def _whole(reader: asyncio.StreamReader, headers: str) -> Any:
    length = int(headers.split("content-length:")[1].split("\r\n")[0])
    yield json.loads(await reader.readexactly(length))["choices"][0]["text"]


async def _chunks(reader: asyncio.StreamReader) -> Any:
    while size := int(await reader.readline(), 16):
        chunk = await reader.readexactly(size)
        await reader.readline()
        for line in chunk.decode().splitlines():
            if line.startswith('data: {"error"'):
                raise RuntimeError(line)
            # Of what else there is, log-probabilities would take a client longer than the text.
            if (begin := line.find('"text":')) >= 0:
                yield TEXT.raw_decode(line, begin + len('"text":'))[0]
    await reader.readline()
