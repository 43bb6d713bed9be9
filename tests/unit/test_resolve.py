"""What a run's settings become where the user left them out."""

from typing import Any

import pytest
from _settings import text_config

from rondel.data.facts import TextFacts
from rondel.errors import InputError
from rondel.settings import Settings
from rondel.text.tokenizers import train_tokenizer
from rondel.text.tokenizers.word import WordSettings
from rondel.training.resolve import resolve


def resolved(tokens: int = 10_000, **settings: Any) -> dict[str, Any]:
    config = resolve(Settings(settings), TextFacts(50, tokens, tokens))
    model = config.model
    return {
        "min_count": config.text.own.get("min_count"),
        "batch_size": config.training.batch_size,
        "embedding_size": model.embedding_size,
        "dropout": (model.dropout, model.embedding_dropout),
        "variational": model.variational,
        "tie_weights": model.tie_weights,
    }


def test_characters_are_not_held_back() -> None:
    assert resolved(hidden_size=100) == {
        "min_count": None,
        "batch_size": 32,
        "embedding_size": 64,
        "dropout": (0.0, 0.0),
        "variational": False,
        "tie_weights": False,
    }


def test_words_are_tied_dropped_and_learnt_in_small_batches() -> None:
    assert resolved(level="word", hidden_size=100) == {
        "min_count": 2,
        "batch_size": 8,
        "embedding_size": 100,
        "dropout": (0.65, 0.65),
        "variational": True,
        "tie_weights": True,
    }


def test_the_reference_has_no_dropout_at_word_level_either() -> None:
    assert resolved(level="word", backend="numpy") == {
        "min_count": 2,
        "batch_size": 25,
        "embedding_size": 0,
        "dropout": (0.0, 0.0),
        "variational": False,
        "tie_weights": False,
    }


def test_what_is_given_stands() -> None:
    given = {
        "min_count": 1,
        "batch_size": 3,
        "embedding_size": 7,
        "variational": False,
        "tie_weights": False,
    }
    chosen = resolved(level="word", dropout=0.0, embedding_dropout=0.1, **given)
    assert chosen == {**given, "dropout": (0.0, 0.1)}


@pytest.mark.parametrize(
    "settings", [{"embedding_size": 256}, {"freeze_embedding": True}, {"tie_weights": False}]
)
def test_an_embedding_that_something_else_decides_is_not_tied(settings: dict[str, Any]) -> None:
    assert resolved(level="word", **settings)["tie_weights"] is False


@pytest.mark.parametrize(("level", "embedding"), [("word", 0.2), ("char", 0.0)])
def test_at_word_level_the_embedding_drops_as_much_as_the_layers(
    level: str, embedding: float
) -> None:
    assert resolved(level=level, dropout=0.2)["dropout"] == (0.2, embedding)


@pytest.mark.parametrize(("tokens", "dropout"), [(99_999, 0.65), (100_000, 0.3)])
def test_a_short_text_is_held_back_more(tokens: int, dropout: float) -> None:
    assert resolved(tokens, level="word")["dropout"] == (dropout, dropout)
    assert resolved(tokens, level="char")["dropout"] == (0.0, 0.0)


def test_a_word_that_comes_too_seldom_is_unknown() -> None:
    text = "a b c a b, b"
    tokenizer = train_tokenizer(text, text_config(level="word", min_count=2))
    assert [tokenizer.token(i) for i in range(tokenizer.vocab_size)] == ["<unk>", "b", "a"]
    assert tokenizer.encode(text).tolist() == [2, 1, 0, 2, 1, 0, 1]
    assert tokenizer.unknowns(text) == ["c", ","]
    both = text_config(level="word", min_count=2, vocab_size=1)
    assert train_tokenizer(text, both).vocab_size == 2
    more = tokenizer.extended("d e d", WordSettings(min_count=2))
    assert [more.token(i) for i in range(more.vocab_size)] == ["<unk>", "b", "a", "d"]


def test_a_text_of_words_that_come_once_says_what_to_do() -> None:
    with pytest.raises(InputError, match="no word of this text comes 2 times: lower --min-count"):
        train_tokenizer("each word\nbut once\n", text_config(level="word", min_count=2))


@pytest.mark.parametrize(
    ("facts", "given", "shape"),
    [
        (TextFacts(50, 10_000, 1_000), {}, (32, 64)),
        (TextFacts(50, 900, 100), {}, (8, 64)),
        (TextFacts(50, 900, 50), {}, (16, 32)),
        (TextFacts(50, 900, 0), {"batch_size": 40}, (40, 64)),
        (TextFacts(50, 900, 40), {"seq_length": 100}, (8, 100)),
    ],
)
def test_a_short_text_gets_smaller_batches_where_nothing_was_asked(
    facts: TextFacts, given: dict[str, Any], shape: tuple[int, int]
) -> None:
    training = resolve(Settings({"hidden_size": 8, **given}), facts).training
    assert (training.batch_size, training.seq_length) == shape
