"""What a service needs that is left to itself: limits, keys, workers, logs, and a clean end."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from _runs import rondel
from _serving import ENDLESS, LET_ENDLESS, PATIENCE, Server, serving, until

from rondel.errors import InputError, RondelError


def post(server: Server, line: http.client.HTTPConnection, **settings: Any) -> None:
    """Ask for a text without end, and do not wait for the answer."""
    body = json.dumps({"prompt": "Once ", "max_tokens": ENDLESS, **settings})
    line.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place(endless: Server, stream: bool) -> None:
    with closing(http.client.HTTPConnection(urlsplit(endless.url).netloc)) as line:
        post(endless, line, stream=stream)
        until(lambda: endless.under_way == 1)
    until(lambda: endless.under_way == 0)
    assert "Traceback" not in endless.log


def test_a_full_queue_is_said_to_be_full_and_empties(slow: Path) -> None:
    with serving(slow, "--batch-size", 2, "--max-queue", 1, *LET_ENDLESS) as server:
        ask = lambda **settings: server.post(  # noqa: E731
            "/v1/completions", {"prompt": "Once ", "max_tokens": 4, **settings}
        )
        with ExitStack() as held:
            for seed in range(3):
                held.enter_context(server.writing(seed=seed))
            for _ in range(4):
                refused = ask()
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) >= 1
                assert refused.json()["error"]["code"] == "queue_full"
            assert server.figure("rondel_refused_total") == 4
        until(lambda: server.under_way == 0)
        assert ask().status_code == 200
        assert ask(n=4).status_code == 429


def test_a_short_text_does_not_wait_for_long_ones(slow: Path) -> None:
    with serving(slow, "--batch-size", 2, *LET_ENDLESS) as server:
        with ExitStack() as held:
            for seed in range(4):
                held.enter_context(server.writing(seed=seed))
            assert len(server.complete(max_tokens=3)["choices"][0]["text"]) == 3
            assert server.under_way == 4
        with ThreadPoolExecutor(4) as crowd:
            texts = list(
                crowd.map(lambda seed: server.complete(max_tokens=600, seed=seed), range(4))
            )
        assert [len(text["choices"][0]["text"]) for text in texts] == [600] * 4


def test_a_text_ends_when_its_time_is_over(slow: Path) -> None:
    with serving(slow, "--request-seconds", "0.5", "--max-tokens", ENDLESS) as server:
        told = server.complete(max_tokens=ENDLESS)
        assert told["choices"][0]["finish_reason"] == "length"
        assert told["usage"]["completion_tokens"] < ENDLESS
        assert len(told["choices"][0]["text"]) == told["usage"]["completion_tokens"]


def test_what_is_under_way_is_finished_before_the_end(slow: Path) -> None:
    with serving(slow, "--drain-seconds", PATIENCE, "--max-tokens", ENDLESS) as server:
        with ThreadPoolExecutor(1) as aside:
            asked = aside.submit(server.complete, max_tokens=3000)
            until(lambda: server.figure("rondel_tokens_read_total") > 0 or asked.done())
            server.process.send_signal(signal.SIGTERM)
            until(lambda: not _answers(server))
            assert len(asked.result()["choices"][0]["text"]) == 3000
        assert server.process.wait(PATIENCE) == 0
        assert "Traceback" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_comes_within_the_time_that_was_told(slow: Path, number: signal.Signals) -> None:
    with serving(slow, "--drain-seconds", 1, *LET_ENDLESS) as server:
        with ThreadPoolExecutor(1) as aside:
            long = {"prompt": "Once ", "max_tokens": ENDLESS}
            asked = aside.submit(server.post, "/v1/completions", long)
            until(lambda: server.under_way == 1)
            server.process.send_signal(number)
            assert asked.result().status_code == 503
        assert asked.result().json()["error"]["code"] == "shutting_down"
        assert server.process.wait(PATIENCE) == 0


def _answers(server: Server) -> bool:
    try:
        return server.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("source", ["file", "env:OTHER", "default"])
def test_a_key_is_asked_for(tiny: Path, tmp_path: Path, source: str) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("open sesame ü\n", encoding="utf-8")
    options = {"file": ["--api-key", str(key_file)], "default": []}.get(
        source, ["--api-key", source]
    )
    environment = {"default": "RONDEL_API_KEY", "env:OTHER": "OTHER"}.get(source, "UNUSED")
    with serving(tiny, *options, environment={environment: "open sesame ü"}) as server:
        right = {"authorization": "Bearer open sesame ü".encode()}
        for headers in ({}, {"authorization": b"Bearer wrong"}, {"authorization": b"Basic x"}):
            answer = server.post("/v1/completions", {}, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
        assert server.get("/").status_code == 401
        assert server.get("/metrics").status_code == 401
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert server.get(path).status_code == 200
        assert server.get("/", headers={"accept": "text/html"}).status_code == 200
        assert server.get("/v1/models", headers=right).status_code == 200
        assert "sesame" not in server.log


def test_the_log_has_a_line_for_each_request_and_no_prompt(tiny: Path) -> None:
    for options, shown in (((), False), (("--log-prompts",), True)):
        with serving(tiny, *options) as server:
            server.complete("A secret ", max_tokens=7)
            server.get("/", params={"prime": "A secret ", "n": 3})
            server.get("/nowhere/A secret")
            until(lambda: server.log.count("\n") >= 4)
            lines = [json.loads(line) for line in server.log.splitlines()[1:]]
            assert ("A secret" in server.log) == shown
        assert [line["path"] for line in lines] == ["/v1/completions", "/", "other"]
        assert [line["status"] for line in lines] == [200, 200, 404]
        assert lines[0]["model"] == "tiny"
        assert lines[0]["completion_tokens"] == 7
        assert lines[0]["first_token_seconds"] <= lines[0]["seconds"]


def test_other_origins_may_call_only_if_they_are_named(tiny: Path, server: Server) -> None:
    origin = {"origin": "https://poems.example"}
    assert "access-control-allow-origin" not in server.get("/healthz", headers=origin).headers
    with serving(tiny, "--cors-origin", "https://poems.example") as open_to_one:
        answer = open_to_one.get("/healthz", headers=origin)
        assert answer.headers["access-control-allow-origin"] == origin["origin"]
        other = open_to_one.get("/healthz", headers={"origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere"),
        (["MODEL", "MODEL"], "two models are called 'tiny'"),
        (["MODEL", "--host", "no.such.host.invalid"], "cannot listen at no.such.host.invalid"),
        (["MODEL", "--api-key", "nofile"], "there is no file nofile"),
        (["MODEL", "--api-key", "env:NONE"], "NONE holds no key"),
        (["MODEL", "--precision", "int8", "--workers", "2", "x=nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    tiny: Path, arguments: list[str], told: str
) -> None:
    with pytest.raises(RondelError) as refused:
        rondel("serve", *(tiny if one == "MODEL" else one for one in arguments))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_port_in_use_is_told_of(tiny: Path, server: Server) -> None:
    port = str(urlsplit(server.url).port)
    with pytest.raises(InputError, match=f"port {port}"):
        rondel("serve", tiny, "--port", port)


def test_a_name_is_told_with_its_folder(tiny: Path) -> None:
    with serving(f"one={tiny}", tiny) as server:
        names = [model["id"] for model in server.get("/v1/models").json()["data"]]
    assert names == ["one", "tiny"]


def test_serving_needs_no_pytorch(tiny: Path) -> None:
    code = (
        "import sys; from rondel.serving.app import create_app;"
        "from rondel.serving.service import Service;"
        "from rondel.serving.service_settings import ServiceSettings;"
        f"create_app(Service(ServiceSettings(models=(('tiny', {str(tiny)!r}),))));"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
