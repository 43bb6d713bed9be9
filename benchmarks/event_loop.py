"""How long hostile requests hold up the event loop of `rondel serve`.

    python benchmarks/event_loop.py [--rounds 3] [--json FILE]

The server is rondel's own, with one coroutine more: it sleeps for a millisecond again and again,
and notes the longest time that it was not woken, and the longest that the loop's own thread was
busy meanwhile. The rest is time in which other threads had Python's lock, or other processes the
core: a row without a request tells how much of that there is anyhow. Medians of all rounds.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _rondel
from _clients import HOST, free_port, wait_for
from _report import arguments_for, describe, machine, table, write_json
from _rondel import Shape

from rondel import artifact
from rondel.text.tokenizers.word import WordSettings, WordTokenizer

SHAPE = Shape("lstm", 1, 64)
SMOKE = ("nothing", "64 prompts, 3 kB each", "100,000 lists")
Body = dict[str, Any]
MILLION = 980_000


def hostile() -> dict[str, bytes]:
    """Bodies for /v1/completions, by what they are."""
    text, words = "A QUIET LIFE. ", "the cat and the dog "
    bodies: dict[str, Body] = {
        "a word's marks, 980 kB": {"model": "words", "prompt": "'-" * (MILLION // 2)},
        "a word's marks, 200 kB": {"model": "words", "prompt": "'-" * 99_000},
        "a word of a', 200 kB": {"model": "words", "prompt": "a'" * 99_000},
        "words, 200 kB": {"model": "words", "prompt": words * 9_900},
        "spaces, 200 kB": {"model": "words", "prompt": "the\n \t" * 39_000},
        "64 prompts, 3 kB each": {"prompt": [text * 200] * 64, "max_tokens": 1},
        "64 word prompts, 3 kB each": {"model": "words", "prompt": [words * 150] * 64},
        "100,000 lists": {"prompt": [["x"]] * 100_000},
        "300,000 empty lists": {"prompt": [[]] * 300_000},
        "200,000 tokens": {"prompt": [1] * 200_000},
        "480,000 tokens": {"prompt": [1] * 480_000},
        "60,000 fields": {f"field {number}": 1 for number in range(60_000)},
        "70,000 biases": {"logit_bias": {f"{number}": "x" for number in range(70_000)}},
        "log-probabilities, read": {"prompt": text * 1_400, "echo": True, "logprobs": 20},
        "log-probabilities, written": {"prompt": text, "max_tokens": 19_900, "logprobs": 20},
        "echoed 60 times": {"prompt": text * 1_100, "n": 60, "echo": True, "max_tokens": 1},
        "streamed log-probabilities": {
            "prompt": text * 1_400, "echo": True, "logprobs": 20, "stream": True,
        },
    }  # fmt: skip
    raw = {name: json.dumps(body, separators=(",", ":")).encode() for name, body in bodies.items()}
    raw["nested 490,000 deep"] = b"[" * 490_000
    raw["a number of 980,000 digits"] = b'{"n": ' + b"9" * MILLION + b"}"
    return raw


def scored() -> dict[str, tuple[str, bytes]]:
    """Bodies for other addresses."""
    text = "A QUIET LIFE. "
    bodies: dict[str, tuple[str, Body]] = {
        "scores of 200,000 characters": ("/v1/score", {"input": text * 14_000}),
        "scores of 1,000 texts": ("/v1/score", {"input": [text * 10] * 1_000}),
        "a trace of 64 units": (
            "/v1/trace",
            {"input": text * 1_400, "units": [f"1:{unit}" for unit in range(1, 65)]},
        ),
    }
    return {name: (path, json.dumps(body).encode()) for name, (path, body) in bodies.items()}


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]), sys.argv[3:])
        return
    arguments = arguments_for(__doc__).parse_args()
    rounds = 1 if arguments.smoke else arguments.rounds or 3
    at = machine()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / "characters", Path(scratch) / "words"]
        _rondel.write_model(folders[0], SHAPE)
        write_word_model(folders[1])
        port = free_port()
        command = [sys.executable, __file__, "--serve", str(port), *map(str, folders)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port, process)
                asked = requests(port)
                if arguments.smoke:
                    asked = {name: asked[name] for name in SMOKE}
                rows = [row_of(name, ask, port, rounds) for name, ask in asked.items()]
            finally:
                process.terminate()
    print(f"\n{table(rows)}\n\n{describe(at)}")
    write_json(arguments.json, rows, at)


def requests(port: int) -> dict[str, Callable[[], object]]:
    """What is asked for, by what it is."""
    asked: dict[str, Callable[[], object]] = {"nothing": lambda: time.sleep(1)}
    others = {name: ("/v1/completions", body) for name, body in hostile().items()}
    for name, (path, body) in {**others, **scored()}.items():
        asked[name] = lambda path=path, body=body: post(port, path, body)
    asked["a body in chunks of one byte"] = lambda: post_chunks(port, 150_000)
    return asked


def row_of(name: str, ask: Callable[[], object], port: int, rounds: int) -> dict[str, Any]:
    """A line of the table."""
    held, seconds = [], []
    for _ in range(rounds):
        get(port, "/held")
        begin = time.perf_counter()
        answer = ask()
        seconds.append(time.perf_counter() - begin)
        held.append(json.loads(get(port, "/held")))
    row = {
        "held by its thread, ms": statistics.median(one["own"] for one in held),
        "held, ms": statistics.median(one["all"] for one in held),
        "answered in, s": statistics.median(seconds),
        "request": name,
        "answer": answer,
    }
    print(row, flush=True)
    return row


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}") as answer:
        told: bytes = answer.read()
    return told


def post(port: int, path: str, body: bytes) -> int:
    """The status."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}{path}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def post_chunks(port: int, count: int) -> int:
    """The status of a body of which every byte is a chunk."""
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((HOST, port)) as line:
        line.sendall(head.encode() + b"1\r\n \r\n" * count + b"0\r\n\r\n")
        return int(line.recv(100).split()[1])


def write_word_model(folder: Path) -> None:
    """A word model with weights drawn at random."""
    from rondel.models.language_model_module import LanguageModel

    text = "the cat and the dog ' - saw, it's said; and\n\n the end " * 2
    tokenizer = WordTokenizer.train(text, WordSettings())
    config = dataclasses.replace(_rondel.configured(SHAPE).model, vocab_size=tokenizer.vocab_size)
    artifact.save(folder, artifact.Artifact(config, tokenizer, LanguageModel(config).export()))


def serve(port: int, folders: list[str]) -> None:
    """rondel's server of these models, whose loop is watched."""
    from rondel.serving import server
    from rondel.serving.service_settings import ServiceSettings

    create = server.create_app
    server.create_app = lambda *given: Watched(create(*given))  # type: ignore[assignment]
    settings = ServiceSettings(tuple((Path(folder).name, folder) for folder in folders), port=port)
    with server.listen(HOST, port) as opened:
        server.run(settings, opened, "", lambda: None)


class Watched:
    """An application that notes how long its event loop is held; /held tells, and begins anew."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._watch: asyncio.Task[None] | None = None
        self._own = self._all = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._note())
        if scope.get("path") != "/held":
            await self._app(scope, receive, send)
            return
        told = json.dumps({"own": 1000 * self._own, "all": 1000 * self._all}).encode()
        self._own = self._all = 0.0
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": told})

    async def _note(self) -> None:
        while True:
            begin, busy = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            self._all = max(self._all, time.perf_counter() - begin - 0.001)
            self._own = max(self._own, time.thread_time() - busy)


if __name__ == "__main__":
    main()
