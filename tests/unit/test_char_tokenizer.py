from __future__ import annotations

import re

import numpy as np
import pytest
from _settings import text_config

from rondel.errors import InputError
from rondel.settings import TextConfig
from rondel.text.tokenizers import char, train_tokenizer
from rondel.text.tokenizers.char import CharSettings, CharTokenizer

ASCII = text_config(charset="ascii")


def test_ids_follow_code_points_after_the_unknown() -> None:
    tokenizer = train_tokenizer("hello 😀\n", text_config())
    assert [tokenizer.token(i) for i in range(tokenizer.vocab_size)] == [
        *("<unk>", "\n", " ", "e", "h", "l", "o", "😀"),
    ]
    assert tokenizer.unknown_id == 0
    assert tokenizer.encode("hole😀?\U0010ffff").tolist() == [4, 6, 5, 3, 7, 0, 0]
    assert tokenizer.decode([4, 0, 7]) == "h\ufffd😀"


def test_ascii_ids_are_codes_and_its_unknown_is_sub() -> None:
    tokenizer = train_tokenizer("née", ASCII)
    assert tokenizer.vocab_size == 128
    assert tokenizer.unknown_id == 26
    assert tokenizer.encode("Az é~\x7f").tolist() == [65, 122, 32, 26, 126, 127]
    assert tokenizer.unknowns("Az é~\x1a\x7f") == ["é"]
    assert tokenizer.decode(range(128)) == "".join(map(chr, range(128)))


def test_extending_sorts_new_characters_in() -> None:
    tokenizer = train_tokenizer("ac", text_config()).extended("bb!", CharSettings("ascii"))
    assert [tokenizer.token(i) for i in range(5)] == ["<unk>", "!", "a", "b", "c"]


def test_a_long_text_is_looked_up_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "abc déf 😀 " * 50
    whole = train_tokenizer(text, text_config())
    expected = whole.encode(text)
    monkeypatch.setattr(char, "CHUNK", 7)
    chunked = train_tokenizer(text, text_config())
    assert chunked.state() == whole.state()
    np.testing.assert_array_equal(chunked.encode(text), expected)
    assert [whole.token(i) for i in expected] == list(text)


def test_a_replacement_character_of_the_text_is_not_the_unknown_one() -> None:
    tokenizer = train_tokenizer("a\ufffd", text_config())
    assert tokenizer.encode("\ufffdb").tolist() == [2, 0]
    assert tokenizer.unknowns("\ufffdbb") == ["b"]


def test_words_start_after_white_space() -> None:
    tokenizer = train_tokenizer("a b\n\u00a0.", text_config())
    after = {i for i in range(tokenizer.vocab_size) if tokenizer.starts_word(i)}
    assert {tokenizer.token(i) for i in after} == {" ", "\n", "\u00a0"}


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        ("", text_config(), "this text is empty: give it something to learn from"),
        ("aaa", text_config(), "this text is one character, 'a', over and over: nothing to learn"),
        ("aaa", ASCII, "this text is one character, 'a', over and over: nothing to learn"),
        ("жук", ASCII, "this text has no ASCII character: use --charset text"),
    ],
)
def test_a_text_with_nothing_to_learn_is_refused(
    text: str, config: TextConfig, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        train_tokenizer(text, config)


@pytest.mark.parametrize(
    "state",
    [
        {"charset": "text", "characters": "ba"},
        {"charset": "text", "characters": "aa"},
        {"charset": "ascii", "characters": "ab"},
        {"charset": "latin", "characters": "ab"},
    ],
)
def test_a_damaged_state_is_refused(state: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="characters"):
        CharTokenizer.from_state(state)
