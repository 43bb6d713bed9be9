"""rondel in Python: the ten-line story."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import SMALL

import rondel
from rondel.errors import InputError, ModelFolderError, NonFiniteLossError

TINY: dict[str, Any] = {**SMALL, "steps": 3, "eval_every": 3, "quiet": True}


def test_the_ten_line_story(tmp_path: Path, coffee_file: Path) -> None:
    model = rondel.train(coffee_file, hidden_size=32, steps=120, batch_size=8, learning_rate=0.02)
    text = model.sample("The ", length=100, temperature=0.8, seed=1)
    assert text.startswith("The ")
    assert len(text) == 104
    figures = model.evaluate(coffee_file.read_text(encoding="utf-8"))
    assert figures.nats_per_token < 2.8
    model.save(tmp_path / "coffee")
    again = rondel.load(tmp_path / "coffee")
    assert again.sample("The ", length=100, temperature=0.8, seed=1) == text
    assert again.evaluate("The cup.") == model.evaluate("The cup.")
    with pytest.raises(InputError, match="is there already"):
        model.save(tmp_path / "coffee")
    model.save(tmp_path / "coffee", overwrite=True)


def test_a_text_trains_as_a_file_with_it_does(coffee: str, coffee_file: Path) -> None:
    by_text = rondel.train(text=coffee, **TINY)
    for source in (coffee_file, str(coffee_file), [coffee_file], str(coffee_file.parent)):
        by_file = rondel.train(source, **TINY)
        for name, array in by_text.weights.items():
            np.testing.assert_array_equal(by_file.weights[name], array)
    other = rondel.train(text=coffee, **{**TINY, "seed": 2})
    assert not np.array_equal(other.weights["head.weight"], by_text.weights["head.weight"])


def test_either_files_or_a_text(coffee: str, coffee_file: Path) -> None:
    for arguments in ({}, {"source": coffee_file, "text": coffee}):
        with pytest.raises(InputError, match="either files to read or text=…, one of the two"):
            rondel.train(**arguments, **TINY)


def test_a_run_is_kept_where_it_is_told_to_be(tmp_path: Path, coffee: str) -> None:
    folder = tmp_path / "run"
    model = rondel.train(text=coffee, out=folder, **TINY)
    best = rondel.load(folder / "best")
    for name, array in model.weights.items():
        np.testing.assert_array_equal(best.weights[name], array)
    with pytest.raises(InputError, match="holds a model already"):
        rondel.train(text=coffee, out=folder, **TINY)
    replaced = rondel.train(text=coffee, out=folder, overwrite=True, **{**TINY, "hidden_size": 5})
    assert replaced.config.hidden_size == rondel.load(folder).config.hidden_size == 5


def test_the_best_model_is_given_back_not_the_last(tmp_path: Path, coffee: str) -> None:
    """What trains too long on too little learns it by heart, and validates worse and worse."""
    settings = {**TINY, "hidden_size": 32, "batch_size": 1, "steps": 200, "eval_every": 5}
    model = rondel.train(
        text=coffee[:400],
        out=tmp_path / "run",
        validation_fraction=0.25,
        schedule="constant",
        learning_rate=0.03,
        **settings,
    )
    last = rondel.load(tmp_path / "run")
    assert model.progress["step"] < last.progress["step"] == 200
    assert model.progress["val_loss"] < last.progress["val_loss"] - 0.05


def test_a_run_is_gone_on_with(tmp_path: Path, coffee: str) -> None:
    """Two halves are the whole, to the bit, where the schedule does not look at the end."""
    settings = {**TINY, "schedule": "constant", "dropout": 0.2, "eval_every": 4}
    whole = rondel.train(text=coffee, out=tmp_path / "whole", **{**settings, "steps": 8})
    rondel.train(text=coffee, out=tmp_path / "halves", **{**settings, "steps": 4})
    halves = rondel.resume(tmp_path / "halves", steps=8, quiet=True)
    for name, array in whole.weights.items():
        np.testing.assert_array_equal(halves.weights[name], array)
    with pytest.raises(InputError, match=r"is complete \(finished at step 8"):
        rondel.resume(tmp_path / "halves")
    with pytest.raises(InputError, match="cannot change hidden_size"):
        rondel.resume(tmp_path / "halves", hidden_size=3)


def test_what_a_model_says_of_itself(trained: Path) -> None:
    model = rondel.load(trained)
    assert (model.config.cell, model.config.hidden_size) == ("lstm", 32)
    assert model.tokenizer.level == "char"
    assert model.progress["step"] == 150
    assert model.weights["head.weight"].shape == (model.tokenizer.vocab_size, 32)


def test_a_text_without_a_prime_begins_a_line(trained: Path) -> None:
    model = rondel.load(trained)
    assert model.choose_opening(seed=5, index=3) == ("\n\n", "")
    text = model.sample(length=30, seed=5, index=3)
    assert "\n\n" + text == model.sample("\n\n", length=30, seed=5, index=3)


def test_samples_are_those_of_sample_one_after_the_other(trained: Path) -> None:
    model = rondel.load(trained)
    samples = model.samples(20, "The ", length=3, seed=2, index=4)
    expected = ["".join(model.stream("The ", length=3, seed=2, index=4 + n)) for n in range(30)]
    assert list(samples) == [text for text in expected if text.strip()][:20]
    unique = model.samples(20, "The ", length=3, seed=2, unique=True, not_in="training")
    assert len(set(unique)) == 20
    assert unique.missing == 0
    assert unique.left_out["repeated"] > 0
    with pytest.raises(InputError, match="count must be a whole number"):
        model.samples(0)
    with pytest.raises(InputError, match="no such file"):
        model.samples(2, not_in=["nowhere.txt"])


def test_text_streams_as_it_is_made(trained: Path) -> None:
    model = rondel.load(trained)
    pieces = list(model.stream("The ", length=25, seed=1))
    # The first at once; then as many at a time as are made in a moment.
    assert len(pieces[0]) == 1
    assert len(pieces) > 4
    assert sum(map(len, pieces)) == 25
    assert "The " + "".join(pieces) == model.sample("The ", length=25, seed=1)


def test_evaluation_is_the_sum_of_the_engines_surprise(trained: Path, coffee: str) -> None:
    from _runs import logits_of

    model, text = rondel.load(trained), coffee[:300]
    ids, logits_TV = model.tokenizer.encode(text), logits_of(model, text).astype(np.float64)
    log_p = logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True))
    nats = -log_p[np.arange(299), ids[1:]].sum()
    seen: list[float] = []
    figures = model.evaluate(text, seen.append)
    assert figures.nats == pytest.approx(nats, rel=1e-6)
    assert (figures.tokens, figures.characters, figures.unknown) == (299, 299, 0)
    assert figures.nats_per_token == pytest.approx(nats / 299)
    assert figures.bits_per_character == pytest.approx(nats / 299 / np.log(2))
    assert figures.perplexity == pytest.approx(np.exp(nats / 299))
    assert seen[-1] == 1.0
    assert seen == sorted(seen)
    with pytest.raises(InputError, match="scoring needs at least two"):
        model.evaluate("x")


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="there is no such folder"):
        rondel.load(tmp_path / "none")
    with pytest.raises(rondel.RondelError):
        rondel.resume(tmp_path / "none")


def test_an_embedding_that_is_not_there_is_not_frozen(coffee: str) -> None:
    with pytest.raises(InputError, match="--freeze-embedding"):
        rondel.train(text=coffee, **{**TINY, "freeze_embedding": True, "embedding_size": 0})


@pytest.mark.parametrize("ask", ["score", "evaluate", "sample", "stream", "unknowns"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [(5, "5"), (["a"], r"\['a'\]"), (b"a", "b'a'"), (None, "None")],
)
def test_what_is_no_text_is_refused_at_once(
    trained: Path, ask: str, value: Any, shown: str
) -> None:
    if (ask, value) == ("sample", None):
        ask = "stream"  # `sample` without a prime chooses one
    message = rf"must be a string \(str\).*, not {shown}$"
    if (ask, value) == ("stream", None):
        message = "a text continues a prime or a state: give one of them"
    with pytest.raises(InputError, match=message):
        getattr(rondel.load(trained), ask)(value)


@pytest.mark.parametrize("ask", ["fill", "gibbs", "evaluate_cloze"])
def test_both_sides_are_of_a_text_too(trained_both: Path, ask: str) -> None:
    with pytest.raises(InputError, match=r"text must be a string \(str\).*, not 5"):
        getattr(rondel.load(trained_both), ask)(5)


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        (5, r"must be .*a list of strings.*, not 5"),
        ("The ", r"must be a list of strings.*, not 'The '"),
        (["The ", None], r"number 1 of (primes|text) must be a string \(str\), not None"),
    ],
)
def test_several_texts_are_a_list_of_them(
    trained: Path, trained_both: Path, texts: Any, complaint: str
) -> None:
    model = rondel.load(trained)
    asked: list[Any] = [model.sample_many, model.stream_many]
    # To embed, one text is as good as a list of them.
    asked += [] if isinstance(texts, str) else [rondel.load(trained_both).embed]
    for ask in asked:
        with pytest.raises(InputError, match=complaint):
            ask(texts)


def test_many_are_refused_as_one_is_when_they_are_asked_for(trained: Path) -> None:
    model = rondel.load(trained)
    for ask in (model.stream_many, model.sample_many):
        with pytest.raises(InputError, match="give a prime of at least one character"):
            ask(["The ", ""])


def test_a_warning_names_the_line_that_asked(trained: Path) -> None:
    model = rondel.load(trained)
    for ask in (
        lambda: model.sample("☃", length=1),
        lambda: model.stream("☃", length=1),
        lambda: model.sample_many(["☃"], length=1),
        lambda: model.stream_many(["☃"], length=1),
    ):
        with pytest.warns(UserWarning, match="does not know '☃'") as caught:
            ask()
        assert [Path(warning.filename) for warning in caught] == [Path(__file__)]
        assert caught[0].lineno == ask.__code__.co_firstlineno


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"cell": "rnn"}, "the gradient's norm is (inf|nan)"),
        ({"cell": "rnn", "nonlinearity": "relu"}, "the loss is nan"),
        ({"cell": "rnn", "nonlinearity": "relu", "eval_every": 1}, "the validation loss is nan"),
        (
            {"cell": "rnn", "nonlinearity": "relu", "eval_every": 1, "backend": "numpy"},
            "the validation loss is nan",
        ),
    ],
)
def test_a_rate_far_too_high_is_told_of_in_one_line(
    coffee: str, settings: dict[str, Any], fault: str
) -> None:
    """And numpy, whose warnings are errors here, says nothing."""
    huge = {**TINY, "hidden_size": 32, "steps": 20, "eval_every": 100, "learning_rate": 1e6}
    with pytest.raises(
        NonFiniteLossError, match=rf"^step \d+: {fault}; .* a lower --learning-rate"
    ):
        rondel.train(text=coffee, **{**huge, **settings})
