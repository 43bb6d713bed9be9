"""`rondel eval`: the figures of a text and of a run's splits, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import logits_of, rondel

import rondel as package
from rondel.data.store import TokenStore
from rondel.errors import InputError
from rondel.evaluation.cache import Cache
from rondel.evaluation.dynamic_settings import DynamicSettings

OTHER = "The café is open. A bean, a cup, a spoon.\n" * 3


def figures(*arguments: object, stdin: str | None = None) -> dict[str, Any]:
    done = rondel("eval", *arguments, "--json", stdin=stdin)
    assert (done.exit_code, done.stderr) == (0, "")
    (line,) = done.output.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def own_computation(folder: Path, text: str) -> float:
    """The mean surprise of every character but the first, in nats."""
    model = package.load(folder)
    logits_TV = logits_of(model, text).astype(np.float64)[:-1]
    targets = model.tokenizer.encode(text)[1:]
    log_p = logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(targets)), targets].mean())


def test_figures_of_a_text_agree_with_the_logits(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text(OTHER, encoding="utf-8")
    nats = own_computation(trained, OTHER)
    found = figures(trained, tmp_path / "other.txt")
    count = len(OTHER) - 1
    assert found == {
        "nats_per_token": pytest.approx(nats, rel=1e-6),
        "bits_per_character": pytest.approx(nats / np.log(2), rel=1e-6),
        "perplexity_per_token": pytest.approx(np.exp(nats), rel=1e-6),
        "perplexity_per_word": pytest.approx(np.exp(nats * count / len(OTHER.split())), rel=1e-6),
        "tokens": count,
        "words": len(OTHER.split()),
        "characters": count,
        "unknown_tokens": sum(
            OTHER.count(c) for c in set(OTHER) if package.load(trained).tokenizer.unknowns(c)
        ),
    }
    assert found["unknown_tokens"] >= 3
    assert figures(trained, "-", stdin=OTHER) == found


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_has_the_figures_of_its_text(split: str, trained: Path, coffee: str) -> None:
    bounds = json.loads((trained / "tokens" / "splits.json").read_text())["splits"][split]
    part = coffee[bounds["begin"] : bounds["end"]]
    found = figures(trained, "--split", split)
    assert found["nats_per_token"] == pytest.approx(own_computation(trained, part), rel=1e-5)
    assert found["tokens"] == found["characters"] == len(part) - 1
    assert found["unknown_tokens"] == 0
    if split == "validation":
        assert figures(trained) == found
        # What the run measured in parallel is what is read in order here.
        val_loss = package.load(trained).progress["val_loss"]
        assert found["nats_per_token"] == pytest.approx(val_loss, abs=1e-3)
    assert figures(trained / "best", "--split", split)["tokens"] == found["tokens"]


def test_printed_figures_have_units(trained: Path) -> None:
    found, done = figures(trained), rondel("eval", trained)
    assert "\x1b" not in done.output
    lines = [line.strip().split("  ") for line in done.output.splitlines()]
    assert lines == [
        [f"{found['nats_per_token']:.4f}", "nats per character"],
        [f"{found['bits_per_character']:.4f}", "bits per character"],
        [f"{found['perplexity_per_token']:,.3f}", "perplexity per character"],
        [f"{found['perplexity_per_word']:,.3f}", "perplexity per word between white space"],
        [f"{found['tokens']:,}", "characters scored"],
        [f"{found['words']:,}", "words between white space scored"],
        ["0", "of the characters unknown, scored as <unk>"],
    ]


def test_words_and_characters_are_counted(tmp_path: Path, coffee: str, coffee_file: Path) -> None:
    from _runs import train

    train(tmp_path / "run", coffee, level="word", steps=3, batch_size=2)
    found = figures(tmp_path / "run", coffee_file)
    ids = package.load(tmp_path / "run").tokenizer.encode(coffee)
    assert found["tokens"] == len(ids) - 1
    assert found["characters"] == len(coffee) - len(coffee.split()[0])
    assert found["unknown_tokens"] == int((ids[1:] == 0).sum()) > 0
    ratio = found["tokens"] / found["characters"]
    expected = found["nats_per_token"] / np.log(2) * ratio
    assert found["bits_per_character"] == pytest.approx(expected)
    assert "perplexity per word" in rondel("eval", tmp_path / "run", coffee_file).output
    with pytest.raises(InputError, match="this run has no test split"):
        rondel("eval", tmp_path / "run", "--split", "test")


def test_invalid_input_is_refused(trained: Path, coffee_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="either a TEXT or a --split, not both"):
        rondel("eval", trained, coffee_file, "--split", "test")
    package.load(trained).save(tmp_path / "alone")
    with pytest.raises(InputError, match="was moved away from the text of its run"):
        rondel("eval", tmp_path / "alone")
    with pytest.raises(InputError, match="scoring needs at least two"):
        rondel("eval", trained, "-", stdin="x")


def test_a_cache_and_dynamic_evaluation_are_flags(trained: Path, coffee_file: Path) -> None:
    model, store = package.load(trained), TokenStore.open(trained / "tokens")
    ids, characters = store.tokens("validation"), store.splits["validation"].characters
    cached = model.evaluate_tokens(ids, characters, cache=Cache(window=50, theta=1.0, weight=0.2))
    flags = ("--cache", "--cache-window", "50", "--cache-theta", "1", "--cache-weight", "0.2")
    assert figures(trained, *flags) == cached.to_json()
    settings = DynamicSettings(rate=1e-3, decay=0.01, segment=50)
    training = store.tokens("train")
    learnt = model.evaluate_dynamically(ids, characters, settings, training_ids=training)
    flags = ("--dynamic", "--dynamic-rate", "1e-3", "--dynamic-decay", "0.01")
    found = figures(trained / "best", *flags, "--dynamic-segment", "50")
    assert found["nats_per_token"] == pytest.approx(learnt.nats_per_token, rel=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--dynamic", "--cache"), "--dynamic and --cache: one at a time"),
        (("--cache-window", "50"), "--cache-window needs --cache"),
        (("--cache", "--dynamic-rate", "0.1"), "--dynamic-rate needs --dynamic"),
    ],
)
def test_conflicting_flags_are_refused(flags: tuple[str, ...], message: str, trained: Path) -> None:
    done = rondel("eval", trained, *flags)
    assert (done.exit_code, done.output.splitlines()[-1]) == (2, f"Error: {message}")
