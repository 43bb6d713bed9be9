"""From a text to splits: cut where they should be, recorded, and large enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import start
from _settings import text_config

from rondel.data.store import PARTS
from rondel.data.text_preparation import PreparedText, prepare_text, split_bounds
from rondel.errors import InputError
from rondel.settings import Settings, TextConfig
from rondel.text.stored import StoredText
from rondel.text.tokenizers import tokenizers, train_on_blocks
from rondel.training.resolve import resolve_text


def prepare(text: str, folder: Path, **settings: Any) -> PreparedText:
    stored = StoredText.of(text)
    return prepare_text(stored, resolve_text(Settings(settings)), 1, train_on_blocks, folder)


def bounds_of(text: str, config: TextConfig) -> dict[str, tuple[int, int]]:
    return split_bounds(StoredText.of(text), config)


@pytest.mark.parametrize("length", [10, 1000, 9_999, 1_115_394])
def test_characters_are_cut_exactly_at_the_fraction(length: int) -> None:
    """90 % of Tiny Shakespeare's 1,115,394 characters are its first 1,003,854."""
    bounds = bounds_of("x" * length, text_config())
    assert bounds == {
        "train": (0, length * 9 // 10),
        "validation": (length * 9 // 10, length),
        "test": (length, length),
    }


@pytest.mark.parametrize(
    ("validation", "test", "expected"),
    [(0.1, 0.1, (800, 900)), (0.05, 0.15, (800, 850)), (0.0, 0.3, (700, 700)), (0, 0, (1000,) * 2)],
)
def test_a_test_part_comes_last(validation: float, test: float, expected: tuple[int, int]) -> None:
    settings = text_config(validation_fraction=validation, test_fraction=test)
    train, middle = expected
    assert bounds_of("x" * 1000, settings) == {
        "train": (0, train),
        "validation": (train, middle),
        "test": (middle, 1000),
    }


@pytest.mark.parametrize("level", tokenizers)
def test_the_splits_are_the_text_and_are_recorded(level: str, tmp_path: Path, coffee: str) -> None:
    run = start(tmp_path / "run", coffee, level=level, test_fraction=0.2, validation_fraction=0.1)
    recorded = json.loads((run.folder / "tokens" / "splits.json").read_text())["splits"]
    assert list(recorded) == ["train", "validation", "test"]
    texts = {name: coffee[split["begin"] : split["end"]] for name, split in recorded.items()}
    assert "".join(texts.values()) == coffee
    for name, text in texts.items():
        ids = run.store.tokens(name)
        assert len(ids) == recorded[name]["tokens"] == run.store.splits[name].tokens
        np.testing.assert_array_equal(ids, run.tokenizer.encode(text))
    for name, fraction in {"train": 0.7, "validation": 0.1, "test": 0.2}.items():
        exact = not run.tokenizer.whole_words
        assert len(texts[name]) == pytest.approx(fraction * len(coffee), abs=1 if exact else 300)


def test_words_are_cut_at_a_line_end() -> None:
    text = "one two\nthree four five\nsix seven\n" * 40
    bounds = bounds_of(text, text_config(level="word", test_fraction=0.1))
    at = int(0.8 * len(text))
    train, validation = bounds["train"][1], bounds["validation"][1]
    assert text[train - 1] == text[validation - 1] == "\n"
    assert train == text.index("\n", at - 1) + 1
    assert bounds["test"] == (validation, len(text))


def test_words_of_one_long_line_are_cut_at_a_space() -> None:
    text = "espresso " * 100 + "end"
    begin, end = bounds_of(text, text_config(level="word"))["validation"]
    assert text[begin - 1] == " "
    assert text[begin:].startswith("espresso")
    assert 0 <= begin - int(0.9 * len(text)) < len("espresso ")
    assert end == len(text)
    assert bounds_of("x" * 50, text_config(level="word"))["train"] == (0, 45)


def test_a_last_line_longer_than_the_split_is_cut_at_a_space() -> None:
    text = "short lines\n" * 20 + "espresso " * 500 + "end\n"
    begin, end = bounds_of(text, text_config(level="word"))["validation"]
    assert 0 <= begin - int(0.9 * len(text)) < len("espresso ")
    assert (text[begin - 1], end) == (" ", len(text))


def test_words_seen_in_validation_alone_are_unknown(tmp_path: Path) -> None:
    text = "the glass is hot\n" * 90 + "the zebra is hot\n" * 10
    prepared = prepare(text, tmp_path / "tokens", level="word")
    vocabulary = {prepared.tokenizer.token(i) for i in range(prepared.tokenizer.vocab_size)}
    assert vocabulary == {"<unk>", "the", "glass", "is", "hot", "\n"}
    ids = prepared.store.tokens("validation")
    assert int((ids == prepared.tokenizer.unknown_id).sum()) == 10


def test_characters_seen_in_validation_alone_are_known(tmp_path: Path) -> None:
    text = "abc\n" * 90 + "zbc\n" * 10
    prepared = prepare(text, tmp_path / "tokens")
    ids = prepared.store.tokens("validation")
    assert prepared.tokenizer.decode(ids).count("z") == 10


def test_long_sentences_are_dropped_and_counted(tmp_path: Path) -> None:
    lines = ["a b c\n", "a b c d e f\n", "a b c d\n"] * 40
    prepared = prepare(
        "".join(lines), tmp_path / "tokens", level="word", max_sentence_length=4, min_count=1
    )
    assert prepared.dropped_sentences == 40
    whole = "".join(prepared.tokenizer.decode(prepared.store.tokens(name)) for name in PARTS)
    assert whole == "a b c\na b c d\n" * 40
    untouched = prepare("".join(lines), tmp_path / "more", level="word")
    assert untouched.dropped_sentences == 0


@pytest.mark.parametrize(
    ("settings", "length", "message"),
    [
        (
            {"batch_size": 4, "seq_length": 16, "validation_fraction": 0.5},
            128,
            "the train split of this text has 64 tokens and one batch takes 65; lower "
            "--batch-size or --seq-length, or give it more text",
        ),
        (
            {"batch_size": 4, "seq_length": 16, "validation_fraction": 0.1},
            160,
            "the validation split of this text has 16 tokens and one batch takes 17; raise "
            "--validation-fraction, lower --seq-length, give it more text, or do without "
            "(--validation-fraction 0)",
        ),
        (
            {"batch_size": 1, "seq_length": 16, "validation_fraction": 0, "test_fraction": 0.1},
            160,
            "the test split of this text has 16 tokens and one batch takes 17; raise "
            "--test-fraction, lower --seq-length, or do without (--test-fraction 0)",
        ),
    ],
)
def test_a_part_too_small_says_what_to_change(
    settings: dict[str, Any], length: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        start(tmp_path / "run", "ab" * (length // 2), **settings)
    assert str(refused.value) == message


def test_parts_just_large_enough_will_do(tmp_path: Path) -> None:
    settings = {"batch_size": 4, "seq_length": 16, "validation_fraction": 17 / 82}
    run = start(tmp_path / "run", "ab" * 41, **settings)
    assert [split.tokens for split in run.store.splits.values()] == [65, 17, 0]
