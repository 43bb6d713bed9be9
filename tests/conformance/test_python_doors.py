"""Every public method and function, given values of the wrong type: one clear line, or it works.

The methods are found on the classes. One that is new needs a call here that works; from then on
each of its arguments is replaced in turn by everything that `ODD` has.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import SMALL
from _sentence_vae import random_vae

import rondel
from rondel import BidirectionalModel, Model
from rondel.api.sentence_vae import SentenceVAE
from rondel.errors import RondelError
from rondel.evaluation.cache import Cache
from rondel.evaluation.scoring import ScoringSettings
from rondel.generation.generation_settings import GenerationSettings
from rondel.inspection.trace import Unit

ODD: dict[str, Any] = {
    "None": None,
    "bytes": b"The",
    "text": "The cup",
    "empty text": "",
    "NUL": "a\0b",
    "surrogate": "\ud800",
    "list": ["The", "cup"],
    "empty list": [],
    "list of None": [None],
    "nested list": [["The"], 1],
    "tuple": (1, 2),
    "dict": {"a": 1},
    "set": {"a"},
    "nan": math.nan,
    "inf": math.inf,
    "float": 0.5,
    "whole float": 3.0,
    "-1": -1,
    "0": 0,
    "huge": 10**400,
    "True": True,
    "np.int64": np.int64(2),
    "np.int64(-1)": np.int64(-1),
    "np.float32": np.float32(0.5),
    "np.float64(nan)": np.float64("nan"),
    "np.bool": np.bool_(True),
    "array": np.zeros((2, 3)),
    "array of objects": np.array([None, "a"], object),
    "empty array": np.array([]),
    "Path": Path("nowhere"),
    "function": lambda *anything: None,
    "object": object(),
    "class": int,
}


class Call:
    """A call that works: arguments, what it also `takes`, and what is `fixed`: given as it is."""

    def __init__(
        self,
        *,
        takes: dict[str, Any] | None = None,
        fixed: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        self.arguments, self.optional, self.fixed = arguments, takes or {}, fixed or {}

    def variants(self) -> Iterator[tuple[str, dict[str, Any]]]:
        always = {**self.fixed, **self.arguments}
        yield "as it is", always
        yield "with all", {**always, **self.optional}
        for name, (label, odd) in itertools.product([*self.arguments, *self.optional], ODD.items()):
            yield f"{name}={label}", {**always, name: odd}


WATCH = [].append
LENGTHS = {"length": 3, "seed": 1, "index": 0, "stop": "\n", "mode": "sample"}
RULES = {"temperature": 0.5, "top_k": 3, "top_p": 0.5, "min_p": 0.1, "repetition_penalty": 1.1}
WRITING = {**LENGTHS, **RULES, "beam_width": 2}
SHORT: dict[str, Any] = {"length": 3, "seed": 1}
FILLING = {"gap": "___", "length": None, "best": 2, "width": 2, "sweeps": 1, "seed": 1}
SCORING = {"by": "word", "unit": "nats", "reset": True, "start": "skip", "end": True}
LISTING = {"unique": True, "not_in": (), "encoding": "utf-8"}
TEXT = "The cup is full."


def model_calls(model: Model, folder: Path) -> dict[str, Call]:
    ids = model.tokenizer.encode(TEXT)
    file = folder / "text.txt"
    file.write_text(TEXT)
    with warnings.catch_warnings():
        trace = model.trace(TEXT * 13)
    return {
        "vectors": Call(),
        "sample": Call(prime="The ", **SHORT, takes=WRITING),
        "read": Call(text="The "),
        "stream": Call(prime="The ", **SHORT, takes=WRITING),
        "sample_many": Call(primes=["The ", "A "], **SHORT, takes=WRITING),
        "stream_many": Call(primes=["The ", "A "], **SHORT, takes=WRITING),
        "samples": Call(count=2, prime="The ", **SHORT, takes={**LISTING, **LENGTHS, **RULES}),
        "beam_search": Call(prime="The ", count=2, length=3, takes={"beam_width": 2, **RULES}),
        "check_copies": Call(count=2, prime="The ", settings=GenerationSettings()),
        "starts_alike": Call(prime="The "),
        "sieve": Call(takes={"after": "The ", **LISTING}),
        "training_text": Call(),
        "unknowns": Call(prime="The "),
        "choose_opening": Call(takes={"seed": 1, "index": 0}),
        "evaluate": Call(text=TEXT, takes={"watch": WATCH, "cache": Cache(), "dynamic": None}),
        "evaluate_tokens": Call(
            ids=ids, characters=16, takes={"watch": WATCH, "cache": Cache(), "text": TEXT}
        ),
        "evaluate_dynamically": Call(
            ids=ids, characters=16, takes={"settings": None, "training_ids": ids, "text": TEXT}
        ),
        "score": Call(text=TEXT, takes={**SCORING, "context": "", "batch_size": 2}),
        "score_files": Call(
            text=rondel.TextFiles(file), settings=ScoringSettings(), takes={"watch": WATCH}
        ),
        "score_reader": Call(settings=ScoringSettings()),
        "score_many": Call(documents=[TEXT], settings=ScoringSettings(), takes={"watch": WATCH}),
        "rescore": Call(
            hypotheses=[("u", 1.0, TEXT)],
            takes={"weight": 0.5, "normalize": "word", "unknown_penalty": 1.0, "context": "The "},
        ),
        "trace": Call(text=TEXT, takes={"tracks": ["hidden"], "memory": 10**6, "watch": WATCH}),
        "find_units": Call(trace=trace, takes={"features": None, "tracks": ["cell"], "seed": 0}),
        "ablate": Call(
            trace=trace, unit=Unit("hidden", 0, 0), takes={"features": (), "value": 0.5}
        ),
        "export": Call(path=folder / "page.html", overwrite=True, takes={"to": "html"}),
        "save": Call(path=folder / "model", overwrite=True),
    }


def both_calls(model: Model) -> dict[str, Call]:
    ids = model.tokenizer.encode(TEXT)
    return {
        "evaluate_cloze": Call(text=TEXT, takes={"watch": WATCH}),
        "evaluate_cloze_tokens": Call(ids=ids, characters=16, takes={"watch": WATCH}),
        "fill": Call(text="The ___ is.", max_length=1, width=2, takes=FILLING),
        "gibbs": Call(text=TEXT, sweeps=1, seed=1, takes={"index": 0, **RULES}),
        "embed": Call(text=TEXT),
        "score": Call(text=TEXT, takes={"causal": True}),
    }


def vae_calls(vae: SentenceVAE, folder: Path) -> dict[str, Call]:
    some = ["the cup is full", "a bean", "the dog"]
    written = {"seed": 1, "mode": "argmax", "length": 4, "stop": "a", **RULES}
    return {
        "encode": Call(sentences=some),
        "decode": Call(z=np.zeros((1, vae.latents.latent_size)), takes={"first": 0, **written}),
        "sample": Call(takes={"index": 0, **written}),
        "sample_sentences": Call(count=2, takes={"first": 0, **written}),
        "samples": Call(count=1, takes={"index": 0, **LISTING, **written}),
        "random_points": Call(count=2, seed=1, takes={"first": 0}),
        "reconstruct": Call(sentence=some[0], count=2, takes=written),
        "interpolate": Call(a=some[0], b=some[1], steps=3, takes={"spherical": True, **written}),
        "fill": Call(text="the ___ is", max_length=1, width=2, takes=FILLING),
        "analogy": Call(a=some[0], b=some[1], c=some[2], takes=written),
        "landscape": Call(
            sentences=some,
            landmarks=3,
            steps=2,
            takes={"projection": "pca", "seed": 1, "watch": WATCH},
        ),
        "evaluate_sentences": Call(
            sentences=some, takes={"iw_samples": 2, "seed": 1, "watch": WATCH}
        ),
        "evaluate_ids": Call(
            sentences=[vae.tokenizer.encode("a bean\n")],
            takes={"iw_samples": 2, "seed": 1, "watch": WATCH},
        ),
        "check": Call(sentence=some[0], known=True),
        "save": Call(path=folder / "vae", overwrite=True),
    }


def public_methods(cls: type) -> set[str]:
    return {
        name
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_")
    }


def ask(function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Call it, and use up what it gives piece by piece; what it warns of is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        given = function(**arguments)
        if isinstance(given, Iterator):
            for _ in itertools.islice(given, 20):
                pass


def faults(function: Callable[..., Any], call: Call) -> list[str]:
    """What was neither an answer nor one clear line."""
    found = []
    for label, arguments in call.variants():
        try:
            ask(function, arguments)
        except RondelError as error:
            message = str(error)
            if label in ("as it is", "with all"):
                found.append(f"{label}: {message}")
            if "\n" in message or not 10 < len(message) < 500:
                found.append(f"{label}: no one clear line: {message!r}")
        except Exception as error:
            found.append(f"{label}: {type(error).__name__}: {str(error)[:200]}")
    return found


@pytest.fixture(scope="module")
def doors(
    trained: Path, trained_both: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, tuple[Callable[..., Any], Call]]]:
    folder = tmp_path_factory.mktemp("doors")
    model, both, vae = rondel.load(trained), rondel.load(trained_both), random_vae()
    calls = {
        "Model": (model, model_calls(model, folder)),
        "bidirectional Model": (both, both_calls(both)),
        "SentenceVAE": (vae, vae_calls(vae, folder)),
    }
    return {
        kind: {name: (getattr(one, name), call) for name, call in found.items()}
        for kind, (one, found) in calls.items()
    }


def test_every_public_method_is_called_here(doors: Any) -> None:
    tried = set(doors["Model"]) | set(doors["bidirectional Model"])
    assert tried == public_methods(BidirectionalModel)
    own = {name for name in public_methods(SentenceVAE) if name in vars(SentenceVAE)}
    assert own <= set(doors["SentenceVAE"])


METHODS = sorted(public_methods(BidirectionalModel) | public_methods(SentenceVAE))


@pytest.mark.parametrize("name", METHODS)
def test_an_odd_value_is_one_clear_line(
    name: str, doors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = {
        f"{kind}.{name}": complaints
        for kind, methods in doors.items()
        if name in methods and (complaints := faults(*methods[name]))
    }
    assert not found, "\n".join(f"{where} {line}" for where, ls in found.items() for line in ls)


# Training, which needs a call for each function and each kind of setting.

QUICK: dict[str, Any] = {**SMALL, "steps": 1, "eval_every": 1, "backend": "numpy", "quiet": True}
QUICK["embedding_size"] = 0
del QUICK["hidden_size"]
KINDS_OF_SETTING = {
    "hidden_size": 4,
    "learning_rate": 0.1,
    "level": "char",
    "tie_weights": False,
}


def training_calls(folder: Path, text: str) -> dict[str, Call]:
    places = {"source": None, "out": None, "init_from": None, "word_vectors": None}
    return {
        "train": Call(text=text, callbacks=(), fixed=QUICK, **places, **KINDS_OF_SETTING),
        # There is nothing to go on with: what is asked is whether that is said in one line.
        "resume": Call(run=folder / "none", steps=1, threads=1, quiet=True),
        "load": Call(path=folder, precision="fp32", threads=1),
    }


@pytest.mark.parametrize("name", ["train", "resume", "load"])
def test_training_and_loading_take_no_odd_value(
    name: str, own_run: Path, coffee: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = faults(getattr(rondel, name), training_calls(own_run, coffee[:1500])[name])
    found = [line for line in found if "none: there is no such folder" not in line]
    assert not found, "\n".join(found)


# Copies, and what a model says of itself.


def pickled(model: Model) -> Model:
    made: Model = pickle.loads(pickle.dumps(model))
    return made


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_of_a_model_is_the_model(trained: Path, copied: Callable[[Model], Model]) -> None:
    model = rondel.load(trained)
    text = model.sample("The ", length=20, seed=1)
    other = copied(model)
    assert not any("engine" in name for name in vars(other))
    assert other.sample("The ", length=20, seed=1) == text
    assert repr(other) == repr(model)
    assert other.choose_opening(1) == model.choose_opening(1)
    assert other.evaluate("The cup.") == model.evaluate("The cup.")


def test_a_copy_of_a_sentence_vae_is_one() -> None:
    vae = random_vae()
    written = vae.sample(seed=1)
    other = pickle.loads(pickle.dumps(vae))
    assert not any("latents" in name for name in vars(other))
    assert other.sample(seed=1) == written


def test_a_model_says_what_it_is(trained: Path) -> None:
    said = repr(rondel.load(trained))
    assert "\n" not in said
    for word in (
        "<LanguageModel: language-model, lstm 1×32",
        "characters known",
        "parameters",
        "150 steps",
    ):
        assert word in said
    assert "validation loss" in said
    assert repr(random_vae()).startswith("<SentenceVAE: sentence-vae, ")


def test_numpy_numbers_and_no_stop_are_what_they_stand_for(trained: Path) -> None:
    model = rondel.load(trained)
    text = model.sample("The ", length=5, seed=1)
    odd: dict[str, Any] = {"length": np.int64(5), "seed": np.uint8(1), "stop": None}
    assert model.sample("The ", temperature=np.float32(1), index=np.int16(0), **odd) == text
