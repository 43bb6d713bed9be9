"""`rondel compare`: one table of several models and their n-gram baselines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from _runs import rondel, train

import rondel as package
from rondel.data.store import TokenStore
from rondel.errors import InputError
from rondel.evaluation.baseline import evaluate_ngrams
from rondel.evaluation.evaluate import blocks_of_text
from rondel.evaluation.ngram import NGramModel

TEXT = "The bean is dark, and the cup is full. A spoon is in the cup. The coffee is hot.\n" * 2


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, coffee: str) -> Path:
    folder = tmp_path_factory.mktemp("words") / "run"
    train(folder, coffee, level="word", backend="numpy", dropout=0.0, variational=False, steps=20)
    return folder


def compared(*arguments: object) -> list[dict[str, Any]]:
    done = rondel("compare", *arguments, "--on", "-", "--json", stdin=TEXT)
    assert (done.exit_code, done.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_every_model_has_figures_and_n_gram_baselines(trained: Path, words: Path) -> None:
    (row,), (other,) = compared(trained), compared(words / "best")
    for found, folder, level in ((row, trained, "char"), (other, words / "best", "word")):
        model = package.load(folder)
        figures = model.evaluate(TEXT).to_json()
        assert {name: found[name] for name in figures} == pytest.approx(figures, rel=1e-6)
        assert (found["model"], found["level"]) == (str(folder), level)
        training = TokenStore.open((trained if level == "char" else words) / "tokens")
        ids, size = model.tokenizer.encode(TEXT), model.tokenizer.vocab_size
        assert list(found["ngrams"]) == ["1", "2", "3", "4", "5", "6"]
        for order, ngram in found["ngrams"].items():
            counted = NGramModel(int(order), size).fit(training.tokens("train"))
            nats = counted.surprisals(ids)[1:].mean()
            assert ngram["nats_per_token"] == pytest.approx(nats)
            assert ngram["tokens"] == found["tokens"] == len(ids) - 1
    # The word model leaves out the first word, the character model the first character.
    assert (row["words"], other["words"]) == (len(TEXT.split()), len(TEXT.split()) - 1)
    total = row["nats_per_token"] * row["tokens"]
    assert row["perplexity_per_word"] == pytest.approx(math.exp(total / row["words"]))


def test_the_table_has_a_row_for_each_model_and_its_best_n_gram(trained: Path, words: Path) -> None:
    rows = compared(trained, words)
    assert [row["level"] for row in rows] == ["char", "word"]
    lines = rondel("compare", trained, words, "--on", "-", stdin=TEXT).stdout.splitlines()
    assert "n-gram bits/character" in lines[0]
    table = " ".join(lines[1:])
    for row in rows:
        order = min(row["ngrams"], key=lambda n: row["ngrams"][n]["bits_per_character"])
        best = row["ngrams"][order]["bits_per_character"]
        assert f"{row['bits_per_character']:.4f}" in table
        assert f"{best:.4f} (n = {order})" in table
    alone = rondel("compare", trained, "--on", "-", "--no-baseline", stdin=TEXT).stdout
    assert "n-gram" not in alone


def test_n_grams_can_be_counted_in_another_text(trained: Path, tmp_path: Path, prose: str) -> None:
    package.load(trained).save(tmp_path / "alone")
    (tmp_path / "prose.txt").write_text(prose, encoding="utf-8")
    (row,) = compared(tmp_path / "alone", "--baseline", tmp_path / "prose.txt")
    tokenizer = package.load(trained).tokenizer
    expected = evaluate_ngrams(
        tokenizer, blocks_of_text(tokenizer, prose), blocks_of_text(tokenizer, TEXT)
    )
    assert row["ngrams"]["3"] == pytest.approx(expected[3].to_json())
    with pytest.raises(InputError, match="with --baseline, or skip them with --no-baseline"):
        compared(tmp_path / "alone")
    assert compared(tmp_path / "alone", "--no-baseline")[0]["ngrams"] == {}


def test_invalid_comparisons_are_refused(trained: Path, tmp_path: Path, coffee: str) -> None:
    train(tmp_path / "both", coffee, model="bidirectional", steps=2)
    with pytest.raises(
        InputError, match="is a bidirectional model, whose figures cannot be compared"
    ):
        compared(trained, tmp_path / "both")
    both_flags = rondel("compare", trained, "--on", "-", "--baseline", "x", "--no-baseline")
    assert both_flags.exit_code == 2
    with pytest.raises(InputError, match="scoring needs at least two"):
        rondel("compare", trained, "--on", "-", stdin="x")
    train(tmp_path / "bytes", coffee, level="byte", backend="numpy", steps=2)
    with pytest.raises(InputError, match="standard input can be read only once"):
        compared(trained, tmp_path / "bytes")
    tokenizer = package.load(trained).tokenizer
    with pytest.raises(InputError, match="no text to count n-grams in"):
        evaluate_ngrams(tokenizer, blocks_of_text(tokenizer, ""), blocks_of_text(tokenizer, TEXT))
