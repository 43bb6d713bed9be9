"""The event loop answers everybody: nothing long is read or written in it, and all has a bound.

How long it is held would depend on the machine, and `benchmarks/event_loop.py` tells that. Here it
is seen in which thread things are done, and on how much.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from _serving import PATIENCE, Server, run_in_loop

from rondel.serving import answers
from rondel.serving.app import create_app
from rondel.serving.service import SHORT, Service
from rondel.serving.service_settings import ServiceSettings
from rondel.text.tokenizers.word import WordTokenizer

MOST = 10 * SHORT + 100
"""Characters that may be read or written at a time in the event loop."""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("completions", {"prompt": "'-" * 4_000, "max_tokens": 2}),
        ("completions", {"prompt": ["'-" * 100] * 60, "max_tokens": 1}),
        ("completions", {"prompt": [["x"]] * 20_000}),
        ("completions", {"prompt": list(range(10)) * 1_000, "max_tokens": 1}),
        ("completions", {"prompt": "the cat " * 200, "echo": True, "logprobs": 20}),
        ("completions", {"prompt": "the " * 400, "echo": True, "logprobs": 20, "stream": True}),
        ("completions", {"prompt": "the", "max_tokens": 2_000, "n": 2, "logprobs": 3}),
        ("completions", {f"field {number}": number for number in range(5_000)}),
        ("completions", {"prompt": "the", "stop": ["x" * 1_000] * 16}),
        ("score", {"input": "the cat and the dog " * 300}),
        ("score", {"input": ["the cat"] * 500}),
        ("trace", {"input": "the cat and the dog " * 200, "units": ["1:1", "1:2"]}),
    ],
)
def test_nothing_long_is_read_or_written_in_the_event_loop(
    words: Path, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    seen: list[tuple[str, int]] = []
    loops: list[threading.Thread] = []

    def watched(home: Any, name: str, size: Callable[[Any, Any], int]) -> None:
        real = getattr(home, name)

        def called(*given: Any, **settings: Any) -> Any:
            result = real(*given, **settings)
            if threading.current_thread() in loops:
                seen.append((name, size(given, result)))
            return result

        monkeypatch.setattr(home, name, called)

    watched(json, "loads", lambda given, _: len(given[0]))
    watched(answers, "dumps", lambda _, written: len(written))
    for name in ("encode", "spans", "unknowns"):
        watched(WordTokenizer, name, lambda given, _: len(given[1]))

    async def ask() -> None:
        loops.append(threading.current_thread())
        service = Service(ServiceSettings((("words", str(words)),)))
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.post(f"/v1/{path}", json=body, timeout=None)
        assert answer.status_code in (200, 400)
        service.stop()

    run_in_loop(ask())
    assert [one for one in seen if one[1] > MOST] == []


def test_json_is_written_in_parts_and_is_what_json_writes() -> None:
    told = {
        "a": [1.5, None, "é\n"] * 2_000,
        "b": [{"x": [[], {}, [1]], "y": {}}] * 3,
        "c": {"": {"deep": [{"er": list(range(5))}]}},
        "d": [],
        "e": "\u2028",
        "f": [{"p": 0.1}, None] * 9_000,
    }
    parts = answers.json_parts(told)
    assert len(parts) > 1
    assert json.loads(b"".join(parts)) == told
    assert b"".join(answers.json_parts([])) == b"[]"
    assert b"".join(answers.json_parts({"a": [float("nan")]})) == b'{"a":[null]}'


def test_what_comes_at_once_is_parsed_in_parts(server: Server) -> None:
    """A body in chunks of one byte is thousands of events for each read of the socket."""
    body = json.dumps({"prompt": "Once ", "max_tokens": 2, "stop": ["x" * 900] * 12}).encode()

    def one_by_one() -> Iterator[bytes]:
        for byte in body:
            yield bytes([byte])

    answer = httpx.post(
        f"{server.url}/v1/completions",
        content=one_by_one(),
        headers={"content-type": "application/json"},
        timeout=PATIENCE,
    )
    assert answer.status_code == 200
