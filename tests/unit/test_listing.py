"""Lists of texts: each once, none that is known, in order, and an end where there are no more."""

from __future__ import annotations

import itertools

import pytest
from _models import random_model
from hypothesis import given
from hypothesis import strategies as st

from rondel.engine import build_engine
from rondel.generation.generate import generate
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.listing import (
    AHEAD,
    KnownTexts,
    SampleList,
    Sieve,
    written_in_order,
)
from rondel.generation.stream import Request
from rondel.text.tokenizers.char import CharTokenizer

LINES = st.lists(st.text("ab \t", max_size=3), min_size=2, max_size=6)


@given(LINES, st.integers(0, 5), st.integers(1, 3))
def test_whole_lines_of_a_text_are_known(lines: list[str], begin: int, count: int) -> None:
    known = KnownTexts(["\n".join(["first", *lines, "last"])])
    part = "\n".join(lines[begin : begin + count])
    if part.strip():
        assert part in known
        assert f" {part} \n" in known
        assert part + "c" not in known
        assert "c" + part not in known


def test_part_of_a_line_is_known_in_a_text_of_one_line_only() -> None:
    assert "nna" not in KnownTexts(["anna\nbert\n"])
    assert "anna\nbe" not in KnownTexts(["anna\nbert\n"])
    assert "anna" in KnownTexts(["x\ny", "anna\r\nbert"])
    assert "ACG" in KnownTexts(["TTACGT\n"])
    assert "GCA" not in KnownTexts(["TTACGT\n"])
    assert "a" not in KnownTexts([""])


def test_a_sieve_counts_what_it_leaves_out_and_why() -> None:
    sieve = Sieve(unique=True, known=KnownTexts(["anna\nbert\n"]), after="Names:\nan")
    texts = ["na", "ja", " ", "ja ", "na", "bert", "ton"]
    assert [text for text in texts if sieve.keeps(text)] == ["ja", " ", "bert", "ton"]
    assert sieve.left_out == {"blank": 0, "repeated": 1, "known": 2}
    assert sieve.describe() == "left out 3 texts: 1 there already, 2 in the given texts"
    plain = Sieve(after="Names:\n")
    assert [text for text in ["a", "a", "", " \n"] if plain.keeps(text)] == ["a", "a"]
    assert plain.describe() == "left out 2 texts: 2 blank"
    assert Sieve().describe() == ""


def test_a_list_ends_where_nothing_new_comes() -> None:
    source = itertools.cycle(["a", "b", "a"])
    samples = SampleList(9, lambda wanted: source, Sieve(unique=True, patience=50))
    assert list(samples) == ["a", "b"]
    assert (samples.missing, samples.index) == (7, 51)
    assert list(SampleList(9, lambda wanted: iter("ab"), Sieve())) == ["a", "b"]


@pytest.mark.parametrize("wanted", [1, 7, 200])
def test_texts_come_in_order_and_as_alone_and_no_more_are_begun_than_wanted(wanted: int) -> None:
    tokenizer = CharTokenizer("text", "".join(map(chr, range(32, 96))))
    engine = build_engine(*random_model("gru", vocab=tokenizer.vocab_size, hidden=24))
    settings = GenerationSettings(length=40, seed=3, stop=(" ", "A", "B", "C", "D", "E"))
    begun = []

    def request(number: int) -> tuple[str, Request]:
        begun.append(number)
        return "<", Request("A", settings, number)

    def write(left):
        return written_in_order(engine, tokenizer, request, left)

    samples = SampleList(wanted, write, Sieve(unique=True))
    texts = list(samples)
    every = (
        "<" + "".join(generate(engine, tokenizer, settings, "A", index))
        for index in itertools.count()
    )
    assert texts == list(dict.fromkeys(itertools.islice(every, samples.index + 1)))
    assert len(texts) == wanted
    assert begun == list(range(len(begun)))
    assert samples.index < len(begun) <= samples.index + min(wanted, AHEAD)


def test_any_number_can_be_asked_for_and_the_first_comes_at_once() -> None:
    tokenizer = CharTokenizer("text", "".join(map(chr, range(32, 96))))
    engine = build_engine(*random_model("gru", vocab=tokenizer.vocab_size, hidden=24))
    settings, begun = GenerationSettings(length=3, seed=3), []

    def request(number: int) -> tuple[str, Request]:
        begun.append(number)
        return "", Request("A", settings, number)

    def write(left):
        return written_in_order(engine, tokenizer, request, left)

    samples = SampleList(10**12, write, Sieve())
    assert len(list(itertools.islice(samples, 5))) == 5
    assert len(begun) <= AHEAD
