"""`rondel serve` for ten minutes among clients that connect, stall, cut off and send rubbish.

    python benchmarks/soak.py [--minutes 10] [--json FILE]

Beside all that, well-formed requests come from a few clients at a time: each must be answered, and
the text of a seed must stay the same. What the server holds (memory, open files, threads, texts
under way) is read from /proc and /metrics all the while: it must not grow. Ends with an error if
any of this fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from argparse import Namespace
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import _rondel
from _clients import HOST, free_port, run, wait_for
from _race import Worker
from _report import arguments_for, describe, machine, table, write_json
from _rondel import Shape

SHAPE, SMOKE_SHAPE = Shape("lstm", 2, 512), Shape("lstm", 1, 16)
PROMPT = "NOW IS THE WINTER "
GROWTH = 1.05
"""How much memory may differ between the second tenth of the time and the last."""
RUBBISH = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\r\n\r\n\x00\xff" * 100,
)
BAD_BODIES = (b"{", b"[]", b'{"prompt": 5}', b'{"prompt": "A", "n": 1e9}', b'{"temperature": NaN}')


@dataclass
class Seen:
    """What happened."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    held: list[dict[str, float]] = field(default_factory=list)


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="(default: 10)")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.minutes = 0.1
    shape = SMOKE_SHAPE if arguments.smoke else SHAPE
    at = machine()
    with tempfile.TemporaryDirectory() as scratch, Worker() as worker:
        folder = Path(scratch) / shape.model
        worker.call(_rondel.write_model, folder, shape)
        seen = run(soak(folder, arguments))
    row = row_of(seen, arguments)
    print(f"\n{table([row])}\n\n{describe(at)}")
    write_json(arguments.json, [row], at)
    if seen.wrong or row["memory, last to early"] > GROWTH:
        raise SystemExit("\n".join(seen.wrong[:10]) or "memory has grown")


async def soak(folder: Path, arguments: Namespace) -> Seen:
    port, seen = free_port(), Seen()
    command = [sys.executable, "-m", "rondel", "serve", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            end = time.monotonic() + 60 * arguments.minutes
            clients: list[Callable[[int, Seen, random.Random], Awaitable[None]]] = [
                *[asks] * 6, *[leaves] * 4, *[stalls] * 4, *[sends_rubbish] * 2,
            ]  # fmt: skip
            tasks = [
                asyncio.create_task(_again(client, port, seen, random.Random(n), end))
                for n, client in enumerate(clients)
            ]
            pause = 60 * arguments.minutes / 100
            while time.monotonic() < end:
                await asyncio.sleep(pause)
                seen.held.append(await asyncio.to_thread(held, process.pid, port))
            await asyncio.gather(*tasks)
            await asyncio.sleep(1)
            seen.held.append(await asyncio.to_thread(held, process.pid, port))
            if process.poll() is not None:
                seen.wrong.append(f"the server ended with status {process.returncode}")
            if seen.held[-1]["texts"]:
                seen.wrong.append(f"{seen.held[-1]['texts']:g} texts are under way for nobody")
        finally:
            process.terminate()
            status = process.wait(60)
        if status:
            seen.wrong.append(f"the server ended with status {status}")
    return seen


async def _again(
    client: Callable[[int, Seen, random.Random], Awaitable[None]],
    port: int,
    seen: Seen,
    draw: random.Random,
    end: float,
) -> None:
    while time.monotonic() < end:
        try:
            await client(port, seen, draw)
            seen.counts[client.__name__] += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            if client is asks:
                seen.wrong.append(f"a well-formed request was not answered: {error!r}")


async def asks(port: int, seen: Seen, draw: random.Random) -> None:
    """A text, whole or streamed; that of a seed is always the same."""
    seed, stream = draw.randrange(40), draw.random() < 0.5
    body = {"prompt": PROMPT, "max_tokens": 20 + 10 * seed, "seed": seed, "stream": stream}
    if seed % 4 == 0:
        body["logprobs"] = 3
    async with connected(port) as (reader, writer):
        writer.write(request(json.dumps(body).encode()))
        head = await reader.readuntil(b"\r\n\r\n")
        rest = await reader.read()
    if not head.startswith(b"HTTP/1.1 200"):
        seen.wrong.append(f"a well-formed request was answered {head.splitlines()[0]!r}")
        return
    text = _text(rest, stream=stream)
    if seen.texts.setdefault(seed, text) != text or not text:
        seen.wrong.append(f"the text of seed {seed} has changed")


async def leaves(port: int, seen: Seen, draw: random.Random) -> None:
    """A long text, of which a little is read before the line is cut, politely or not."""
    body = {"prompt": PROMPT, "max_tokens": 20_000, "stream": draw.random() < 0.7}
    async with connected(port) as (reader, writer):
        writer.write(request(json.dumps(body).encode()))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1 + draw.randrange(3000)), draw.random())
        if draw.random() < 0.5:
            reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, reset)


async def stalls(port: int, seen: Seen, draw: random.Random) -> None:
    """Half a request and then nothing, or a text that is not read."""
    async with connected(port) as (_, writer):
        whole = request(json.dumps({"prompt": PROMPT, "max_tokens": 5000, "stream": True}).encode())
        writer.write(whole if draw.random() < 0.5 else whole[: draw.randrange(len(whole))])
        await asyncio.sleep(5 * draw.random())


async def sends_rubbish(port: int, seen: Seen, draw: random.Random) -> None:
    """What is no request, or none that can be answered."""
    async with connected(port) as (reader, writer):
        bad = request(draw.choice(BAD_BODIES)) if draw.random() < 0.5 else draw.choice(RUBBISH)
        writer.write(bad)
        with contextlib.suppress(asyncio.TimeoutError):
            head = await asyncio.wait_for(reader.read(12), 2)
            if head[9:10] not in (b"4", b""):
                seen.wrong.append(f"rubbish was answered {head!r}")
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def connected(port: int) -> Any:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        writer.close()


def request(body: bytes) -> bytes:
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _text(rest: bytes, *, stream: bool) -> str:
    if not stream:
        return str(json.loads(rest)["choices"][0]["text"])
    lines = [line[6:] for line in rest.splitlines() if line.startswith(b"data: {")]
    return "".join(json.loads(line)["choices"][0]["text"] for line in lines)


def held(process: int, port: int) -> dict[str, float]:
    """What the server has at present."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    facts = dict(line.split(":", 1) for line in status.splitlines())
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    texts = sum(float(x.split()[-1]) for x in lines if x.startswith("rondel_texts_under_way{"))
    return {
        "memory": int(facts["VmRSS"].split()[0]) / 1024,
        "threads": int(facts["Threads"]),
        "files": len(list(Path(f"/proc/{process}/fd").iterdir())),
        "texts": texts,
    }


def row_of(seen: Seen, arguments: Namespace) -> dict[str, Any]:
    tenth = max(1, len(seen.held) // 10)
    early = statistics.median(one["memory"] for one in seen.held[tenth : 2 * tenth])
    late = statistics.median(one["memory"] for one in seen.held[-tenth:])
    last = seen.held[-1]
    return {
        "memory, last to early": late / early,
        "MiB early": round(early),
        "MiB last": round(late),
        "minutes": arguments.minutes,
        "answered": seen.counts["asks"],
        "not answered, or wrong": len(seen.wrong),
        "cut off": seen.counts["leaves"],
        "stalled": seen.counts["stalls"],
        "rubbish": seen.counts["sends_rubbish"],
        "most texts at once": round(max(one["texts"] for one in seen.held)),
        "texts at the end": round(last["texts"]),
        "open files at the end": round(last["files"]),
        "threads at the end": round(last["threads"]),
    }


if __name__ == "__main__":
    main()
