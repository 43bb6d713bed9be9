"""Kinds of model in JavaScript: what they write is what they write in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _both import random_text_model
from _javascript import export_package, run_exported
from _sentence_vae import random_vae

from rondel import Model
from rondel.api.sentence_vae import SentenceVAE
from rondel.errors import InputError
from rondel.exporters import web_model
from rondel.kinds import kinds

SENTENCE, OTHER = "A dog runs on the beach.", "Two people sit at a table"
VAES: dict[str, dict[str, Any]] = {
    "lstm": {},
    "gru": {"cell": "gru", "encoder_cell": "rnn", "encoder_bidirectional": False},
    "latent input": {"latent_input": True},
    "one-hot": {"latent_input": True, "embedding_size": 0, "num_layers": 1},
}


@pytest.fixture(scope="module")
def vaes() -> dict[str, SentenceVAE]:
    return {name: random_vae(**settings) for name, settings in VAES.items()}


@pytest.fixture(scope="module")
def written(
    vaes: dict[str, SentenceVAE], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Any]]:
    home = tmp_path_factory.mktemp("kinds")
    calls = [
        ["sampleSentences", 6, {"seed": 3, "top_k": 12}],
        ["reconstruct", SENTENCE, 4, {"seed": 5}],
        ["interpolate", SENTENCE, OTHER, {"steps": 7}],
        ["interpolate", None, None, {"steps": 5, "seed": 9}],
        ["encode", SENTENCE],
        ["encode", "  "],
    ]
    packages = {name: export_package(home / name, vae._parts) for name, vae in vaes.items()}
    jobs = [{"package": place, "call": call} for place in packages.values() for call in calls]
    results = iter(run_exported(jobs))
    return {name: [next(results) for _ in calls] for name in packages}


@pytest.mark.parametrize("name", VAES)
def test_a_sentence_vae_writes_what_it_does_in_python(
    vaes: dict[str, SentenceVAE], written: dict[str, list[Any]], name: str
) -> None:
    vae = vaes[name]
    samples, again, between, random, encoded, refused = written[name]
    assert samples == vae.sample_sentences(6, seed=3, top_k=12)
    assert again == vae.reconstruct(SENTENCE, 4, seed=5)
    for found, steps in (
        (between, vae.interpolate(SENTENCE, OTHER, steps=7)),
        (random, vae.interpolate(steps=5, seed=9)),
    ):
        told = [(step["fraction"], step["sentence"], step["repeats"]) for step in found]
        assert told == [(step.share, step.text, step.again) for step in steps]
    mean, log_variance = vae.encode([SENTENCE])
    assert np.abs(np.array(list(encoded["mean"].values())) - mean[0]).max() < 1e-4
    assert np.abs(np.array(list(encoded["logVariance"].values())) - log_variance[0]).max() < 1e-4
    assert "empty" in refused["error"]


FILLS: list[tuple[str, str, dict[str, Any]]] = [
    ("char", "The c_ is full", {"gap": "_", "length": 1, "best": 9}),
    ("char", "the ___ is", {"max_length": 4, "width": 6, "seed": 2}),
    ("word", "the ___ is ___", {}),
    ("word", "___ so they say, ___!", {"length": 2, "width": 5, "sweeps": 3}),
    ("byte", "caf_ and", {"gap": "_", "length": 2, "width": 4}),
    ("char", "no gap", {}),
    ("word", "the c___p", {}),
]


@pytest.fixture(scope="module")
def both_sides() -> dict[str, Model]:
    return {level: random_text_model("gru", level=level) for level in ("char", "word", "byte")}


@pytest.fixture(scope="module")
def filled(both_sides: dict[str, Model], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    home = tmp_path_factory.mktemp("both")
    packages = {n: export_package(home / n, model._parts) for n, model in both_sides.items()}
    calls = [(level, ["fill", text, settings]) for level, text, settings in FILLS]
    return run_exported([{"package": packages[level], "call": call} for level, call in calls])


@pytest.mark.parametrize("number", range(len(FILLS)), ids=[text for _, text, _ in FILLS])
def test_a_bidirectional_model_fills_as_in_python(
    both_sides: dict[str, Any], filled: list[Any], number: int
) -> None:
    level, text, settings = FILLS[number]
    try:
        expected = both_sides[level].fill(text, **settings)
    except InputError:
        assert "gap" in filled[number]["error"]
        return
    assert [one["text"] for one in filled[number]] == [one.text for one in expected]
    for found, one in zip(filled[number], expected, strict=True):
        assert tuple(found["fillings"]) == one.fillings
        assert found["log_probability"] == pytest.approx(one.log_probability, abs=1e-3)
        assert found["pseudo_log_likelihood"] == pytest.approx(one.pseudo_log_likelihood, abs=1e-3)


def test_all_kinds_of_rondels_own_are_there() -> None:
    missing = [name for name in kinds if not web_model.is_there(f"kinds/{name}.js")]
    assert all("example" in name for name in missing)
