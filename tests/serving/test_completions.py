"""What is written is what the model writes, as OpenAI's own client reads it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from _serving import Server

import rondel


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def model(tiny: Path) -> rondel.Model:
    return rondel.load(tiny)


def test_models_are_listed_and_shown(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [
        "tiny",
        "walker",
        "slow",
        "words",
        "lines",
    ]
    shown = client.models.retrieve("tiny")
    assert (shown.object, shown.owned_by) == ("model", "rondel")
    with pytest.raises(openai.NotFoundError, match="there are: tiny, walker, slow, words, lines"):
        client.models.retrieve("huge")


def test_a_text_is_the_one_that_python_gives(client: openai.OpenAI, model: rondel.Model) -> None:
    answer = client.completions.create(
        model="tiny", prompt="Once ", max_tokens=80, seed=5, temperature=0.7, top_p=0.9
    )
    expected = model.sample("Once ", length=80, seed=5, temperature=0.7, top_p=0.9)
    assert "Once " + answer.choices[0].text == expected
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 80)
    assert answer.id.startswith("cmpl-")


def test_a_stream_gives_the_same_in_pieces(client: openai.OpenAI, model: rondel.Model) -> None:
    stream = client.completions.create(
        model="tiny",
        prompt="Once ",
        max_tokens=300,
        seed=6,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    expected = model.sample("Once ", length=300, seed=6)
    assert "".join(chunk.choices[0].text for chunk in chunks) == expected.removeprefix("Once ")
    assert {chunk.choices[0].finish_reason for chunk in chunks[:-1]} <= {None}
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 300


def test_a_stream_comes_while_it_is_written(endless: Server) -> None:
    with endless.writing(seed=6) as lines:
        pieces = [json.loads(next(lines).removeprefix("data: "))["choices"][0] for _ in range(5)]
    assert all(piece["text"] and piece["finish_reason"] is None for piece in pieces)


def test_a_stream_ends_as_openai_ends_it(server: Server) -> None:
    answer = server.post("/v1/completions", {"prompt": "Once ", "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert all(json.loads(event.removeprefix("data: "))["choices"] for event in events[:-1])


def test_several_prompts_and_texts_come_in_order(
    client: openai.OpenAI, model: rondel.Model
) -> None:
    answer = client.completions.create(
        model="tiny", prompt=["Once ", "It was "], n=3, max_tokens=20, seed=2
    )
    texts = [choice.text for choice in sorted(answer.choices, key=lambda choice: choice.index)]
    assert texts == [
        model.sample(prompt, length=20, seed=2, index=index).removeprefix(prompt)
        for prompt, indices in (("Once ", range(3)), ("It was ", range(3, 6)))
        for index in indices
    ]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 5 + 7


def test_prompts_may_be_tokens(client: openai.OpenAI, model: rondel.Model) -> None:
    ids = model.tokenizer.encode("Once ").tolist()
    texts = [
        client.completions.create(model="tiny", prompt=prompt, seed=1).choices[0].text
        for prompt in ("Once ", ids, [ids])
    ]
    assert len(set(texts)) == 1


def test_a_temperature_of_0_is_the_likeliest_text(
    client: openai.OpenAI, model: rondel.Model
) -> None:
    answer = client.completions.create(model="tiny", prompt="Once ", temperature=0)
    assert answer.choices[0].text == "".join(model.stream("Once ", length=16, mode="argmax"))


def test_a_stop_ends_a_text(client: openai.OpenAI, model: rondel.Model) -> None:
    whole = "".join(model.stream("Once ", length=200, seed=4))
    stop = whole[120:122]
    answer = client.completions.create(
        model="tiny", prompt="Once ", max_tokens=200, seed=4, stop=[stop, "€"]
    )
    assert answer.choices[0].text == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_log_probabilities_are_told_of_what_is_written(
    client: openai.OpenAI, model: rondel.Model
) -> None:
    answer = client.completions.create(
        model="tiny", prompt="Once ", max_tokens=50, seed=3, logprobs=4
    )
    text, told = answer.choices[0].text, answer.choices[0].logprobs
    assert text == "".join(model.stream("Once ", length=50, seed=3))
    assert told is not None
    assert told.tokens == list(text)
    assert told.text_offset == list(range(50))
    assert told.top_logprobs is not None
    assert told.token_logprobs is not None
    for token, own, top in zip(text, told.token_logprobs, told.top_logprobs, strict=True):
        assert top[token] == own
        assert 4 <= len(top) <= 5
        assert sum(np.exp(list(top.values()))) <= 1 + 1e-6


def test_scoring_clients_get_the_prompts_own_log_probabilities(
    client: openai.OpenAI, model: rondel.Model
) -> None:
    prompt = "Once upon a time there was"
    answer = client.completions.create(
        model="tiny", prompt=prompt, max_tokens=0, logprobs=10, echo=True
    )
    choice = answer.choices[0]
    assert choice.text == prompt
    assert choice.logprobs is not None
    assert choice.logprobs.token_logprobs is not None
    assert choice.logprobs.token_logprobs[0] is None
    table = model.score(prompt, unit="nats", start="skip")
    surprisals = table["surprisal_nats"][~np.isnan(table["surprisal_nats"])]
    assert np.allclose(choice.logprobs.token_logprobs[1:], -surprisals, atol=1e-5)
    assert choice.logprobs.tokens == list(prompt)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 0


def test_an_echo_begins_with_the_prompt(client: openai.OpenAI, model: rondel.Model) -> None:
    for stream in (False, True):
        answer = client.completions.create(
            model="tiny", prompt="Once ", max_tokens=30, seed=1, logprobs=0, echo=True,
            stream=stream,
        )  # fmt: skip
        chunks = list(answer) if stream else [answer]
        assert "".join(chunk.choices[0].text for chunk in chunks) == model.sample(
            "Once ", length=30, seed=1
        )
        told = [token for chunk in chunks for token in chunk.choices[0].logprobs.tokens]
        assert "".join(told) == model.sample("Once ", length=30, seed=1)


def test_equal_prompts_give_what_python_gives(server: Server, model: rondel.Model) -> None:
    told = server.complete(["Once "] * 3, seed=2**70, max_tokens=20, echo=True)
    texts = [choice["text"] for choice in told["choices"]]
    assert texts == model.sample_many(["Once "] * 3, seed=2**70, length=20)
    assert len(set(texts)) == 3


@pytest.mark.parametrize("prompt", [None, "", ["", ""]])
@pytest.mark.parametrize("extra", [{}, {"echo": True}, {"stop": "\n"}, {"logprobs": 2}])
def test_without_a_prompt_a_text_is_pythons(
    server: Server, model: rondel.Model, prompt: Any, extra: dict[str, Any]
) -> None:
    """All of it: with what it was begun with, which is nothing that looks written."""
    asked = {"seed": 3, "max_tokens": 30, "n": 2, **extra}
    choices = server.complete(prompt, **asked)["choices"]
    for index, choice in enumerate(choices):
        settings = {"stop": "\n"} if "stop" in extra else {}
        assert choice["text"] == model.sample(seed=3, index=index, length=30, **settings)
        if "logprobs" in extra:
            assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert len(choices) == (4 if isinstance(prompt, list) else 2)


def test_a_line_break_that_begins_a_text_is_not_part_of_it(server: Server, lines: Path) -> None:
    told = server.complete(None, model="lines", seed=1, max_tokens=20, logprobs=1)["choices"][0]
    assert told["text"] == rondel.load(lines).sample(seed=1, length=20)
    assert len(told["text"]) == len(told["logprobs"]["tokens"]) == 20


def test_fields_that_are_null_are_as_if_left_out(server: Server) -> None:
    fields = server.get("/openapi.json").json()["components"]["schemas"]
    asked = dict.fromkeys(set(fields["CompletionRequest"]["properties"]) - {"seed", "prompt"})
    told = [
        server.complete("Once ", seed=1, **nulls)["choices"]
        for nulls in (asked, {"stream_options": {}})
    ]
    assert told[0] == told[1]
    for kind, path in (("ScoreRequest", "score"), ("TraceRequest", "trace")):
        body = {"input": "Once", **({"units": ["1:1"]} if kind == "TraceRequest" else {})}
        nulls = dict.fromkeys(set(fields[kind]["properties"]) - set(body))
        for field in nulls:
            assert {"type": "null"} in fields[kind]["properties"][field]["anyOf"]
        answer = server.post(f"/v1/{path}", {**nulls, **body})
        assert answer.json() == server.post(f"/v1/{path}", body).json()


@pytest.mark.parametrize("prompt", ["the cat and the dog", "The Cat zebra the ", " the\n\n cat"])
def test_a_token_has_one_spelling_at_its_place(server: Server, words: Path, prompt: str) -> None:
    asked = {"model": "words", "echo": True, "logprobs": 20, "max_tokens": 12, "seed": 1}
    told = server.complete(prompt, **asked)["choices"][0]
    columns = told["logprobs"]
    assert "".join(columns["tokens"]) == told["text"]
    assert told["text"].startswith(prompt)
    vocabulary = rondel.load(words).tokenizer.vocab_size
    for text, own, top in zip(
        columns["tokens"], columns["token_logprobs"], columns["top_logprobs"], strict=True
    ):
        if own is not None:
            assert top[text] == own
            # The whole vocabulary is told of, and each token of it once.
            assert len(top) <= vocabulary
            assert sum(np.exp(list(top.values()))) == pytest.approx(1, abs=1e-5)
    for text in columns["tokens"][1:]:
        assert text == text.rstrip(" ") or text.isspace() or prompt.endswith(" ")


def test_unknown_characters_are_refused_or_read_as_asked(server: Server) -> None:
    refused = server.post("/v1/completions", {"prompt": "Ünce "})
    assert refused.status_code == 400
    assert "does not know 'Ü'" in refused.json()["error"]["message"]
    told = server.complete("Ünce ", unknown="read", echo=True)
    assert told["warnings"] == ["the model does not know 'Ü'; read as unknown"]
    assert told["choices"][0]["text"].startswith("Ünce ")


def test_sentence_vaes_write_sentences(client: openai.OpenAI, walker: Path) -> None:
    answer = client.completions.create(model="walker", prompt="", n=4, max_tokens=200, seed=8)
    vae = rondel.load(walker)
    assert [choice.text.strip() for choice in answer.choices] == vae.sample_sentences(4, seed=8)


def test_a_seeds_text_is_the_same_alone_and_in_a_crowd(server: Server, model: rondel.Model) -> None:
    """With rules, lengths, log-probabilities and streams of all sorts beside each other."""

    def one(seed: int) -> str:
        settings = {"max_tokens": 40 + 37 * seed % 200, "seed": seed, "temperature": 0.5 + seed % 3}
        if seed % 4 == 1:
            settings["top_p"] = 0.8
        if seed % 4 == 2:
            settings["logprobs"] = 3
        return str(server.complete("It was ", **settings)["choices"][0]["text"])

    def alone(seed: int) -> str:
        rules = {"top_p": 0.8} if seed % 4 == 1 else {}
        return "".join(
            model.stream(
                "It was ", length=40 + 37 * seed % 200, seed=seed,
                temperature=0.5 + seed % 3, **rules,
            )
        )  # fmt: skip

    with ThreadPoolExecutor(64) as crowd:
        texts = list(crowd.map(one, range(100)))
    assert texts == [alone(seed) for seed in range(100)]
