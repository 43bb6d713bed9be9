"""Every sampling rule and mode in JavaScript: the same text for the same seed as in Python."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _javascript import export_package, run_exported
from _models import random_model

from rondel import Model
from rondel.api.load import model_of
from rondel.artifact import Artifact
from rondel.exporters import web_model
from rondel.generation.sampling.rules import rules
from rondel.generation.sampling.sampler import stream_rng
from rondel.text.tokenizers.char import CharTokenizer

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
VALUES: dict[str, list[float]] = {
    "temperature": [0.0, 0.4, 1.7],
    "top_k": [1, 5, 1000],
    "top_p": [0.05, 0.7],
    "min_p": [0.1, 1.0],
    "repetition_penalty": [0.5, 1.4],
}
"""Of each parameter, values on either side of what is usual, and the ends of its range."""
SETTINGS: list[dict[str, Any]] = [
    *({name: value} for name, values in VALUES.items() for value in values),
    {"temperature": 1.3, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.2},
    {"mode": "argmax", "repetition_penalty": 1.3},
    {"mode": "spaces", "temperature": 1.5},
    {"index": 3},
    {"seed": 2**40 + 5},
    {"stop": ["a", "the", " "], "length": 300},
]


@pytest.fixture(scope="module")
def model() -> Model:
    config, weights = random_model("gru", hidden=24, vocab=97, embedding=16)
    return model_of(
        Artifact(config, CharTokenizer("text", CHARACTERS), weights, {}, ("\n", "abcd"))
    )


@pytest.fixture(scope="module")
def texts(model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    package = export_package(tmp_path_factory.mktemp("rules") / "model", model._parts)
    return run_exported([{"package": package, "call": ["sample", *call(s)]} for s in SETTINGS])


def call(settings: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    return None if "index" in settings else "The ", {"seed": 7, "length": 150, **settings}


@pytest.mark.parametrize("number", range(len(SETTINGS)), ids=map(str, SETTINGS))
def test_the_same_text_as_in_python(model: Any, texts: list[str], number: int) -> None:
    prime, settings = call(SETTINGS[number])
    assert texts[number] == model.sample(prime, **settings)


def test_every_parameter_of_rondels_own_rules_is_tried() -> None:
    own = [
        field.name
        for name, rule in rules.items()
        if web_model.is_there(f"rules/{name}.js")
        for field in dataclasses.fields(rule)  # type: ignore[arg-type]
    ]
    assert sorted(own) == sorted(VALUES)
    assert all("example" in n for n in rules if not web_model.is_there(f"rules/{n}.js"))


def test_random_numbers_are_numpys(model: Any, tmp_path: Path) -> None:
    package = export_package(tmp_path / "model", model._parts)
    seeds = [[0, 0], [1, 2], [2**32, 5], [2**53 - 1, 2**32 + 1]]
    (found,) = run_exported([{"package": package, "call": ["drawn", seeds, 50]}])
    for (seed, index), (uniforms, below) in zip(seeds, found, strict=True):
        assert uniforms == stream_rng(seed, index).random(50).tolist()
        rng = np.random.default_rng([seed, index])
        assert below == [int(rng.integers(n + 1)) for n in range(50)]
