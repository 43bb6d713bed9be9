"""Lists over HTTP are those of Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _serving import Server, serving

import rondel


@pytest.fixture(scope="module")
def server(trained: Path, walker: Path) -> Iterator[Server]:
    """Of copies, as workers have it: the training text is found all the same."""
    with serving(f"coffee={trained}", walker, "--workers", "2") as started:
        yield started


@pytest.mark.parametrize(
    "asked",
    [
        {"count": 5, "max_tokens": 12, "seed": 1},
        {"count": 20, "prompt": "The ", "max_tokens": 3, "seed": 2, "unique": True},
        {"count": 4, "max_tokens": 30, "seed": 3, "stop": "\n", "temperature": 0.7, "top_k": 5},
        {"count": 9, "prompt": "The ", "max_tokens": 3, "not_in_training_text": True, "seed": 4},
    ],
)
def test_a_list_is_the_one_that_python_gives(
    server: Server, trained: Path, asked: dict[str, Any]
) -> None:
    told = server.post("/v1/samples", asked).json()
    settings = {**asked, "length": asked["max_tokens"], "prime": asked.get("prompt")}
    if settings.pop("not_in_training_text", False):
        settings["not_in"] = "training"
    for name in ("max_tokens", "prompt"):
        settings.pop(name, None)
    expected = rondel.load(trained).samples(settings.pop("count"), **settings)
    assert told["texts"] == list(expected)
    assert (told["left_out"], told["missing"]) == (expected.left_out, expected.missing)


def test_a_list_may_be_of_sentences(server: Server, walker: Path) -> None:
    asked = {"model": "walker", "count": 5, "max_tokens": 8, "seed": 1, "unique": True}
    expected = rondel.load(walker).samples(5, length=8, seed=1, unique=True)
    assert server.post("/v1/samples", asked).json()["texts"] == list(expected)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"count": 0}, "count"),
        ({"count": 1_001}, "count"),
        ({"count": 1_000, "max_tokens": 200}, "200000 tokens"),
        ({"prompt": "x" * 20_001, "count": 1}, "20000 characters"),
        ({"prompt": "\u4e2d"}, "does not know"),
        ({"prompt": "The ", "temperature": 0}, "the same"),
        ({"not_in": "/etc/passwd"}, "no such field"),
        ({"model": "walker", "prompt": "A man"}, "sentence VAE"),
    ],
)
def test_a_list_that_cannot_be_is_refused(
    server: Server, asked: dict[str, Any], reason: str
) -> None:
    answer = server.post("/v1/samples", asked)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]["message"]


def test_a_model_without_its_run_has_no_training_text(tiny: Path) -> None:
    with serving(tiny) as server:
        answer = server.post("/v1/samples", {"not_in_training_text": True})
        assert answer.status_code == 400
        assert "text it was trained on" in answer.json()["error"]["message"]
