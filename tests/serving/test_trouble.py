"""What is wrong is refused in one line, in OpenAI's shape; and the service goes on."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
import schemathesis
from _serving import PATIENCE, Server
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

KINDS = {"invalid_request_error", "authentication_error", "not_found_error", "rate_limit_error"}


def refusal(answer: httpx.Response, status: int = 400) -> str:
    """The message of a refusal, whose shape is checked."""
    assert answer.status_code == status, answer.text
    (error,) = answer.json().values()
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] in KINDS
    message = error["message"]
    assert isinstance(message, str)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": 2.5}, "top_k"),
        ({"n": 0}, "n: "),
        ({"n": 10**9}, "n: "),
        ({"max_tokens": 10**9}, "at most 20000"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"n": 64, "max_tokens": 1000}, "64000 tokens"),
        ({"prompt": ["a"] * 40, "n": 2}, "80 texts"),
        ({"prompt": []}, "prompt: there is an empty list"),
        ({"prompt": [[]]}, "empty"),
        ({"prompt": [5, "a"]}, "prompt: should be text, or token ids"),
        ({"prompt": [["a"]] * 60}, "prompt: should be text, or token ids"),
        ({"prompt": [["x"]] * 100_000}, "100000 prompts"),
        ({"prompt": [1] * 300_000}, "more than 250000 values"),
        ({"prompt": [5, -1]}, "should be text, or token ids"),
        ({"prompt": [True]}, "should be text, or token ids"),
        ({"prompt": "a" * 200_001}, "200001 characters"),
        ({"prompt": ["a" * 9_000] * 30}, "270000 characters"),
        ({"prompt": "a" * 20_000, "n": 64, "max_tokens": 1, "echo": True}, "echoed"),
        ({"prompt": [5, 10**6]}, "1000000"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"prompt": "\u00e9\u4e2d"}, "does not know"),
        ({"prompt": "\ud800"}, ""),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop: List should have at most 16 items"),
        ({"logprobs": 21}, "logprobs"),
        ({"best_of": 3}, "best_of"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"suffix": "end"}, "suffix"),
        ({"tempratur": 1}, "tempratur: there is no such field"),
        ({f"field {number}": 1 for number in range(50_000)}, "there is no such field"),
        ({"stream_options": {"x" * 500_000: 1}}, "there is no such field"),
        ({"logit_bias": {f"{number}": "x" for number in range(50_000)}}, "logit_bias"),
        ({"model": "x" * 100_000}, "model"),
        ({"seed": -(2**63) - 1}, "seed"),
        ({"mode": "beam"}, "mode"),
        ({"stream": "yes"}, "stream"),
        ({"model": "walker", "prompt": "A man"}, "sentence VAE"),
        ({"prompt": "a" * 20_000, "logprobs": 1, "echo": True}, "at most 20000"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    server: Server, settings: dict[str, Any], told: str
) -> None:
    body = json.dumps({"prompt": "Once ", **settings})
    answer = httpx.post(
        f"{server.url}/v1/completions", content=body, headers={"content-type": "application/json"}
    )
    assert told in refusal(answer)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON: expecting property name enclosed in double quotes, at line 1, column 2"),
        (b'{"prompt": "a",\n"n" 2}', "expecting ':' delimiter, at line 2, column 5"),
        (b'{"prompt": "\xff"}', "not UTF-8, from byte 12 on"),
        ('{"n": 1}'.encode("utf-16"), "not UTF-8"),
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"n": ' + b"9" * 5000 + b"}", "too many digits"),
    ],
)
def test_what_is_wrong_with_a_body_is_readable(server: Server, body: bytes, told: str) -> None:
    headers = {"content-type": "application/json"}
    assert told in refusal(
        httpx.post(f"{server.url}/v1/completions", content=body, headers=headers)
    )


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_any_page_may_send_is_refused(server: Server, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = httpx.post(f"{server.url}/v1/completions", content=b"{}", headers=headers)
    assert "application/json" in refusal(answer, 415)


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "a", "temperature": NaN}',
        b'{"prompt": "a", "temperature": Infinity}',
        b'{"prompt": "a", "temperature": 1e999}',
        b'{"prompt": "\xff\xfe"}',
        b"\xff\xfe\x00",
        b"{",
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("path", ["completions", "score", "trace", "reconstruct", "interpolate"])
def test_bodies_that_are_none_are_refused(server: Server, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    refusal(httpx.post(f"{server.url}/v1/{path}", content=body, headers=headers))


def test_large_bodies_are_refused(server: Server) -> None:
    large = json.dumps({"prompt": "a" * 1_100_000}).encode()
    json_type = {"content-type": "application/json"}
    url = f"{server.url}/v1/completions"
    assert "1000000 bytes" in refusal(httpx.post(url, content=large, headers=json_type), 413)
    pieces = (large[i : i + 50_000] for i in range(0, len(large), 50_000))
    assert "1000000 bytes" in refusal(httpx.post(url, content=pieces, headers=json_type), 413)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("score", {"input": ""}, "input"),
        ("score", {"input": "x" * 200_001}, "200001 characters"),
        ("score", {"input": ["x"] * 100_000}, "input"),
        ("score", {"input": [5] * 100_000}, "input"),
        ("score", {"input": "a", "causal": True}, "causal"),
        ("score", {"input": "\u4e2d\u56fd"}, "knows no"),
        ("score", {"model": "walker", "input": "A man"}, "sentence VAE"),
        ("trace", {"input": "abc", "units": ["9:9"]}, "no unit 9:9"),
        ("trace", {"input": "abc", "units": ["x"]}, "LAYER:UNIT"),
        ("trace", {"input": "abc", "units": []}, "units"),
        ("trace", {"input": "abc", "units": [f"1:{'9' * 5000}"]}, "LAYER:UNIT"),
        ("trace", {"input": "abc", "units": [f"{'9' * 5000}:1"]}, "LAYER:UNIT"),
        ("trace", {"input": "abc", "units": ["x" * 100_000]}, "LAYER:UNIT"),
        ("trace", {"input": "abc", "units": [f"{'x' * 5000}:1:1"]}, "no track"),
        ("trace", {"input": "abc", "units": ["1:1"] * 65}, "units"),
        ("trace", {"input": "x" * 20_001, "units": ["1:1"]}, "20001 characters"),
        ("reconstruct", {"model": "walker", "input": "two\nlines"}, "line"),
        ("reconstruct", {"model": "walker", "input": "a " * 20_000}, "40000 characters"),
        ("interpolate", {"model": "walker", "from": "a " * 9_000, "to": "a " * 9_000}, "36000"),
        ("interpolate", {"model": "walker", "from": "horse"}, "two sentences"),
        ("interpolate", {"model": "walker", "steps": 1}, "steps"),
    ],
)
def test_other_requests_that_cannot_be_are_refused(
    server: Server, path: str, body: dict[str, Any], told: str
) -> None:
    assert told in refusal(server.post(f"/v1/{path}", body))


@pytest.mark.parametrize(
    "query",
    ["n=0", "n=x", "n=99999999999", "sample_mode=3", "temperature=nan", "temperature=-1", "seed=-1",
     "prime=%ff", "model=none"],
)  # fmt: skip
def test_char_rnns_interface_refuses_as_well(server: Server, query: str) -> None:
    answer = server.get(f"/?{query}")
    refusal(answer, 404 if query.startswith("model") else 400)


def test_there_is_nothing_else(server: Server) -> None:
    assert "/docs" in refusal(server.get("/v1/chat/completions"), 404)
    refusal(server.get("/v1/completions"), 405)
    refusal(server.get("/page/..%2f..%2fapp.py"), 404)


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Large: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_http_is_refused(server: Server, sent: bytes) -> None:
    address = urlsplit(server.url)
    assert address.hostname is not None
    with socket.create_connection((address.hostname, address.port or 0), PATIENCE) as line:
        line.sendall(sent)
        line.settimeout(PATIENCE)
        head, _, body = b"".join(iter(lambda: line.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4")
    assert set(json.loads(body)) == {"error"}


def test_openais_client_raises_its_own_errors(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model="tiny", prompt="a", temperature=-2)


@pytest.mark.parametrize("mode", GenerationMode)
def test_no_request_within_the_schema_or_beyond_it_brings_a_server_error(
    server: Server, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    tried = []
    for operation in (found.ok() for found in schema.get_all_operations()):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=20,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Any) -> None:
            tried.append(case.path)
            answer = case.call(timeout=PATIENCE)
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                refusal(answer, answer.status_code)

        # What takes nothing cannot be asked for wrongly.
        with contextlib.suppress(Unsatisfiable):
            check()
    assert len(tried) >= 100
    assert len(set(tried)) >= 6
