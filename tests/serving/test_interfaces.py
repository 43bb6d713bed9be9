"""The other interfaces: char-rnn's, scores, traces, sentence VAEs, health, figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _serving import Server

import rondel


@pytest.fixture(scope="module")
def model(tiny: Path) -> rondel.Model:
    return rondel.load(tiny)


@pytest.mark.parametrize(("number", "mode"), [("0", "argmax"), ("1", "sample"), ("2", "spaces")])
def test_char_rnns_interface_gives_plain_text(
    server: Server, model: rondel.Model, number: str, mode: str
) -> None:
    query = {"prime": "Once ", "n": 70, "sample_mode": number, "temperature": 0.8, "seed": 3}
    answer = server.get("/", params=query)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == model.sample("Once ", length=70, mode=mode, temperature=0.8, seed=3)


@pytest.mark.parametrize("prime", [{}, {"prime": ""}])
def test_char_rnns_interface_has_its_own_beginnings_and_lengths(
    server: Server, model: rondel.Model, prime: dict[str, str]
) -> None:
    text = server.get("/", params={**prime, "seed": 2}).text
    assert text == model.sample(seed=2, length=200)


def test_a_browser_gets_the_page_and_a_program_the_text(server: Server) -> None:
    page = server.get("/", headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    text = server.get("/", params={"n": 3}, headers={"accept": "text/html"})
    assert text.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("by", ["token", "word", "line", "document"])
def test_scores_are_those_of_python(server: Server, model: rondel.Model, by: str) -> None:
    texts = ["Once upon a time.\nIt was late.", "No."]
    answer = server.post("/v1/score", {"input": texts, "by": by, "unit": "nats"}).json()
    assert [table["index"] for table in answer["data"]] == [0, 1]
    for text, table in zip(texts, answer["data"], strict=True):
        expected = model.score(text, by=by, unit="nats")
        assert list(table["columns"]) == list(expected)
        for name, column in table["columns"].items():
            for value, own in zip(column, expected[name].tolist(), strict=True):
                missing = isinstance(own, float) and np.isnan(own)
                assert value is None if missing else value == pytest.approx(own)


def test_a_score_takes_its_settings(server: Server, model: rondel.Model) -> None:
    body = {"input": "was late", "context": "It ", "end": True}
    columns = server.post("/v1/score", body).json()["data"][0]["columns"]
    expected = model.score("was late", context="It ", end=True)
    assert columns["surprisal_bits"] == pytest.approx(expected["surprisal_bits"].tolist())


def test_traces_are_those_of_python(server: Server, model: rondel.Model) -> None:
    body = {"input": "Once upon", "units": ["2:7", "cell:1:3"]}
    told = server.post("/v1/trace", body).json()
    assert told["tokens"] == list("Once upon")
    with model.trace("Once upon") as trace:
        for name, values in told["units"].items():
            assert values == pytest.approx(trace.values(trace.unit(name)).tolist(), abs=1e-4)


def test_a_sentence_is_written_back(server: Server, walker: Path) -> None:
    vae = rondel.load(walker)
    body = {"model": "walker", "input": "A man rides a horse.", "samples": 2, "seed": 4}
    told = server.post("/v1/reconstruct", body).json()
    assert [told["sentence"], *told["samples"]] == vae.reconstruct(
        "A man rides a horse.", 3, seed=4
    )


def test_sentences_lie_between_sentences(server: Server, walker: Path) -> None:
    vae = rondel.load(walker)
    body = {"model": "walker", "from": "horse", "to": "Two people sit at a table", "steps": 5}
    steps = server.post("/v1/interpolate", body).json()["steps"]
    expected = vae.interpolate("horse", "Two people sit at a table", steps=5)
    assert [step["sentence"] for step in steps] == [step.text for step in expected]
    assert [step["fraction"] for step in steps] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    random = server.post("/v1/interpolate", {"model": "walker", "seed": 1}).json()["steps"]
    assert [step["sentence"] for step in random] == [s.text for s in vae.interpolate(seed=1)]


@pytest.mark.parametrize("path", ["/v1/reconstruct", "/v1/interpolate"])
def test_a_language_model_is_no_sentence_vae(server: Server, path: str) -> None:
    answer = server.post(path, {"model": "tiny", "input": "x"} if "rec" in path else {})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "wrong_model"


def test_a_prompt_that_was_read_is_not_read_again(server: Server) -> None:
    prompt = "The same long prompt, word for word. " * 300
    before = server.figure("rondel_prefix_cache_tokens_total")
    first, second = (server.complete(prompt, max_tokens=20, seed=1) for _ in range(2))
    assert second["choices"] == first["choices"]
    assert second["usage"] == first["usage"]
    assert server.figure("rondel_prefix_cache_tokens_total") - before == len(prompt)
    assert server.figure("rondel_prefix_cache_hits_total") > 0
    going_on = prompt + first["choices"][0]["text"]
    server.complete(going_on, max_tokens=1)
    known = len(prompt) + len(going_on) - 1
    assert server.figure("rondel_prefix_cache_tokens_total") - before == known
    assert 0 < server.figure("rondel_prefix_cache_bytes") < 64_000_000


def test_health_and_figures(server: Server) -> None:
    assert server.get("/healthz").json() == {"status": "ok"}
    assert server.get("/readyz").json() == {"status": "ready"}
    written, read = (server.figure(f"rondel_tokens_{name}_total") for name in ("written", "read"))
    requests = server.figure("rondel_requests_total")
    server.complete("Once ", max_tokens=33)
    assert server.figure("rondel_tokens_written_total") == written + 33
    assert server.figure("rondel_tokens_read_total") == read + 5
    assert server.figure("rondel_requests_total") > requests
    assert server.figure("rondel_texts_under_way") == 0
    assert server.figure("rondel_first_token_seconds_count") > 0
    assert server.figure("rondel_batch_size_count") > 0


def test_the_interface_is_told(server: Server) -> None:
    schema = server.get("/openapi.json").json()
    fields = schema["components"]["schemas"]["CompletionRequest"]["properties"]
    rules = {name for name, field in fields.items() if field.get("x-sampling-rule")}
    assert {"temperature", "top_k", "top_p", "min_p", "repetition_penalty"} <= rules
    assert "/v1/completions" in schema["paths"]
    assert "422" not in schema["paths"]["/v1/completions"]["post"]["responses"]
    assert server.get("/docs").status_code == 200
