from __future__ import annotations

import pytest
from _settings import text_config
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import InputError
from rondel.text.tokenizers import train_tokenizer
from rondel.text.tokenizers.byte import ByteTokenizer

BYTES = text_config(level="byte")


def test_ids_are_the_bytes_of_utf_8() -> None:
    tokenizer = train_tokenizer("ab", BYTES)
    assert tokenizer.vocab_size == 256
    assert tokenizer.unknown_id is None
    assert tokenizer.encode("Aé😀").tolist() == list("Aé😀".encode())
    assert tokenizer.token(0x41) == "0x41"
    assert tokenizer.token(10) == "0x0A"


def test_bytes_that_are_no_utf_8_keep_their_values() -> None:
    raw = bytes(range(256))
    assert bytes(ByteTokenizer().encode(raw.decode("utf-8", "surrogateescape")).tolist()) == raw


def test_every_byte_has_the_whole_character_that_it_is_a_part_of() -> None:
    spans = ByteTokenizer().spans("aé😀\udcff")
    assert spans.tolist() == [[0, 1], *[[1, 2]] * 2, *[[2, 3]] * 4, [3, 4]]


def test_a_surrogate_that_no_byte_stands_behind_is_replaced_and_reported() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode("a\ud800b\udcff")) == "a\ufffdb\udcff"
    assert tokenizer.unknowns("a\ud800b\udcff\ud800") == ["\ud800"]


def test_a_character_comes_with_its_last_byte() -> None:
    decoder = ByteTokenizer().decoder()
    assert [decoder.push(byte) for byte in "é😀x".encode()] == ["", "é", "", "", "", "😀", "x"]
    assert decoder.finish() == ""


@given(st.binary())
def test_any_bytes_come_back_from_their_text(data: bytes) -> None:
    tokenizer = ByteTokenizer()
    text = tokenizer.decode(data)
    assert text.encode("utf-8", "surrogateescape") == data
    assert tokenizer.encode(text).tolist() == list(data)
    assert text == data.decode("utf-8", "surrogateescape")


def test_bytes_of_a_character_cut_off_come_at_the_end() -> None:
    decoder = ByteTokenizer().decoder()
    assert [decoder.push(byte) for byte in (0xFF, 0x41, 0xC3, 0x42, 0xE2)] == [
        *("\udcff", "A", "", "\udcc3B", "")
    ]
    assert decoder.finish() == "\udce2"


def test_words_start_after_ascii_white_space() -> None:
    tokenizer = ByteTokenizer()
    assert [i for i in range(256) if tokenizer.starts_word(i)] == [9, 10, 11, 12, 13, 32]


def test_a_text_of_one_byte_is_refused() -> None:
    with pytest.raises(InputError, match="this text is one byte, 'a', over and over"):
        train_tokenizer("aaaa", BYTES)
    train_tokenizer("éé", BYTES)
