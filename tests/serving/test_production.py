"""What a service needs that is left to itself: limits, keys, workers, logs, and a clean end."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from _runs import rondel
from _serving import Server, serving

from rondel.errors import InputError, RondelError

LONG = {"prompt": "Once ", "max_tokens": 20_000}


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def test_a_client_that_leaves_frees_its_place(server: Server) -> None:
    under_way = lambda: server.figure("rondel_texts_under_way")  # noqa: E731
    address = urlsplit(server.url)
    for stream in (True, False):
        with closing(http.client.HTTPConnection(address.netloc)) as line:
            body = json.dumps({**LONG, "model": "slow", "n": 1, "stream": stream})
            line.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            until(lambda: under_way() == 1)
        until(lambda: under_way() == 0, 3)


def test_a_full_queue_is_said_to_be_full_and_empties(slow: Path) -> None:
    with serving(slow, "--batch-size", "2", "--max-queue", "1") as server:
        ask = lambda n: server.post("/v1/completions", {**LONG, "max_tokens": 400, "seed": n})  # noqa: E731
        with ThreadPoolExecutor(12) as crowd:
            answers = list(crowd.map(ask, range(12)))
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 429}
        assert codes.count(200) >= 3
        for answer in answers:
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["error"]["code"] == "queue_full"
        assert server.figure("rondel_refused_total") == codes.count(429)
        assert ask(1).status_code == 200
        assert server.post("/v1/completions", {**LONG, "max_tokens": 1, "n": 4}).status_code == 429


def test_a_short_text_does_not_wait_for_long_ones(slow: Path) -> None:
    with serving(slow, "--batch-size", "2", "--max-tokens", "100000") as server:
        with ThreadPoolExecutor(4) as crowd:
            long = [crowd.submit(server.complete, max_tokens=6000, seed=seed) for seed in range(4)]
            until(lambda: server.figure("rondel_texts_under_way") == 4)
            server.complete(max_tokens=3)
            assert not any(one.done() for one in long)
            texts = [one.result()["choices"][0]["text"] for one in long]
        assert [len(text) for text in texts] == [6000] * 4


def test_a_text_ends_when_its_time_is_over(slow: Path) -> None:
    with serving(slow, "--request-seconds", "0.5") as server:
        told = server.complete(max_tokens=20_000)
        assert told["choices"][0]["finish_reason"] == "length"
        assert 0 < told["usage"]["completion_tokens"] < 20_000
        assert len(told["choices"][0]["text"]) == told["usage"]["completion_tokens"]


def test_what_is_under_way_is_finished_before_the_end(slow: Path) -> None:
    with serving(slow, "--drain-seconds", "60") as server:
        with ThreadPoolExecutor(1) as aside:
            asked = aside.submit(server.complete, max_tokens=3000)
            until(lambda: server.figure("rondel_texts_under_way") == 1)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: not _answers(server))
            assert len(asked.result()["choices"][0]["text"]) == 3000
        assert server.process.wait(10) == 0
        assert "Traceback" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_comes_within_the_time_that_was_told(slow: Path, number: signal.Signals) -> None:
    with serving(slow, "--drain-seconds", "1", "--request-seconds", "600") as server:
        with ThreadPoolExecutor(1) as aside:
            asked = aside.submit(server.post, "/v1/completions", LONG)
            until(lambda: server.figure("rondel_texts_under_way") == 1)
            server.process.send_signal(number)
            assert asked.result().status_code == 503
        assert asked.result().json()["error"]["code"] == "shutting_down"
        assert server.process.wait(10) == 0


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
            answer = httpx.post(f"{server.url}/v1/completions", json={}, headers=headers)
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


def test_workers_share_the_port_the_figures_and_the_end(tiny: Path) -> None:
    with serving(tiny, "--workers", "2") as server:
        with ThreadPoolExecutor(8) as crowd:
            texts = list(crowd.map(lambda n: server.complete(max_tokens=50, seed=n % 5), range(40)))
        for seed in range(5):
            assert len({told["choices"][0]["text"] for told in texts[seed::5]}) == 1
        assert server.figure("rondel_tokens_written_total") == 40 * 50
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


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
        "from rondel.serving.settings import ServiceSettings;"
        f"create_app(Service(ServiceSettings(models=(('tiny', {str(tiny)!r}),))));"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
