"""Kinds of model in JavaScript: what they write is what they write in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from _javascript import export_package, run_exported
from _sentence_vae import random_vae

from rondel.api.sentence_vae import SentenceVAE

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
