"""Saved states: for every cell, tokenizer and engine, a text continues one as it does the prime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _both import random_text_model
from _models import random_model
from _sentence_vae import random_vae
from _settings import text_config

import rondel
from rondel.api.load import model_of
from rondel.artifact import Artifact
from rondel.cells import cells
from rondel.engine import NumpyEngine
from rondel.errors import InputError, ModelFolderError, WrongKindError
from rondel.text.tokenizers import tokenizers, train_tokenizer

TEXT = "THE CUP, the café é IS hot. é (too) well-known\n" * 3
PRIMES = ("THE CUP, the ", "the café é", "é \udcc3")
SETTINGS = {"length": 25, "seed": 4, "temperature": 0.9, "repetition_penalty": 1.2}


def model_with(cell="gru", level="char", seed=0, hidden=20):
    tokenizer = train_tokenizer(TEXT, text_config(level=level, min_count=1))
    config, weights = random_model(
        cell, vocab=tokenizer.vocab_size, layers=2, hidden=hidden, embedding=9, seed=seed
    )
    return model_of(Artifact(config, tokenizer, weights, excerpts=("\n",)))


def again(state, folder):
    """The state as it comes back from a file."""
    file = folder / f"{len(list(folder.iterdir()))}.safetensors"
    state.save(file)
    return rondel.State.load(file)


def check(model, prime, folder):
    state = again(model.read(prime), folder)
    for settings in (SETTINGS, {"length": 9, "mode": "argmax"}, {"length": 6, "mode": "beam"}):
        text = prime + "".join(model.stream(state=state, **settings))
        assert text == model.sample(prime, **settings)
        assert prime + model.sample(state=state, **settings) == text


@pytest.mark.parametrize("cell", cells)
@pytest.mark.parametrize("compiled", [True, False], ids=["any", "numpy"])
def test_every_cell_continues_a_saved_state(cell: str, compiled: bool, tmp_path: Path) -> None:
    model = model_with(cell)
    if not compiled:
        vars(model)["_engine"] = NumpyEngine(model.config, model.weights)
    check(model, PRIMES[0], tmp_path)


@pytest.mark.parametrize("level", tokenizers)
@pytest.mark.filterwarnings("ignore:the model does not know")
def test_every_tokenizer_continues_one(level: str, tmp_path: Path) -> None:
    for prime in PRIMES:
        check(model_with(level=level), prime, tmp_path)


def test_lists_and_searches_continue_one(tmp_path: Path) -> None:
    model = model_with()
    state = again(model.read("THE "), tmp_path)
    assert [*model.samples(3, state=state, **SETTINGS)] == [*model.samples(3, "THE ", **SETTINGS)]
    found = model.beam_search("THE ", 2, length=8)
    assert model.beam_search(count=2, length=8, state=state) == found
    outputs = list(model.stream_many(iter([state, "THE ", state]), **SETTINGS))
    texts = ["".join(o.text for o in outputs if o.number == number) for number in range(3)]
    assert texts == [model.sample(state=state, index=n, **SETTINGS) for n in range(3)]


def test_a_bidirectional_model_has_the_state_of_its_causal_half(tmp_path: Path) -> None:
    check(random_text_model(), "the cup", tmp_path)


def test_a_sentence_vae_has_none() -> None:
    with pytest.raises(WrongKindError, match="a sentence VAE, which has no 'read'"):
        random_vae().read("the cup")


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    state = again(model_with().read("THE "), tmp_path)
    for other in (
        model_with(seed=1),
        model_with("lstm"),
        model_with(hidden=12),
        model_with(level="byte"),
    ):
        with pytest.raises(InputError, match="another model; have this model read the text"):
            other.sample(state=state)


def test_a_text_continues_one_thing(tmp_path: Path) -> None:
    model = model_with()
    state = model.read("THE ")
    for begin in ({}, {"prime": "THE ", "state": state}):
        with pytest.raises(InputError, match="a prime or a state: give one of them"):
            model.stream(**begin)
    with pytest.raises(InputError, match="give a prime of at least one character"):
        model.read("")


def test_a_file_that_is_damaged_or_no_state_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state"
    model = model_with()
    model.read("THE ").save(file)
    with pytest.raises(InputError, match="is there already; name another file"):
        model.read("THE ").save(file)
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        with pytest.raises(ModelFolderError) as caught:
            rondel.State.load(file)
        assert "\n" not in str(caught.value)
    file.write_bytes(content[:-1])
    with pytest.raises(ModelFolderError, match="truncated or damaged"):
        rondel.State.load(file)
    model.save(tmp_path / "model")
    with pytest.raises(ModelFolderError, match="no state that rondel saved"):
        rondel.State.load(tmp_path / "model" / "weights.safetensors")
    with pytest.raises(ModelFolderError, match="is missing"):
        rondel.State.load(tmp_path / "none")
