"""What a text begins with where no prime is given: never a line of the training text."""

from __future__ import annotations

import random

import pytest
from _settings import text_config
from hypothesis import given
from hypothesis import strategies as st

from rondel.data.excerpts import choose_excerpts
from rondel.errors import ModelFolderError
from rondel.generation.opening import MOST_TOKENS, Opening, choose_opening, opening_of
from rondel.text.stored import StoredText
from rondel.text.tokenizers import tokenizers, train_tokenizer

LEVELS = pytest.mark.parametrize("level", tokenizers)


def excerpts_of(text: str, level: str, seed: int = 3):
    tokenizer = train_tokenizer(text, text_config(level=level, min_count=1))
    return tokenizer, choose_excerpts(StoredText.of(text), tokenizer, seed, len(text))


@LEVELS
def test_a_text_of_lines_begins_after_its_usual_line_break(level: str) -> None:
    names = "".join(f"{name}\n" for name in ["anna", "bert", "carl"] * 9)
    tokenizer, excerpts = excerpts_of(names, level)
    assert excerpts == ("\n",)
    assert opening_of(tokenizer, "\n") == Opening("\n", "")
    paragraphs = names.replace("\n", " went out.\n\n")
    assert excerpts_of(paragraphs, level)[1] == ("\n\n",)
    # One at the very end, as most files have it, makes no lines of a text.
    assert excerpts_of("all on one line " * 40 + "\n", level)[1] != ("\n",)


@LEVELS
def test_a_text_of_one_line_begins_with_a_few_tokens_of_a_sentence(level: str) -> None:
    words = random.Random(1)
    sentences = [
        " ".join(words.choices(["The", "cup", "was", "not", "hot"], k=words.randint(2, 9))) + "."
        for _ in range(200)
    ]
    text = " ".join(sentences)
    tokenizer, excerpts = excerpts_of(text, level)
    assert len(excerpts) > 3
    assert (tokenizer, excerpts)[1] == excerpts_of(text, level)[1]
    for excerpt in excerpts:
        assert any(sentence.startswith(excerpt) for sentence in sentences)
        prime, shown = opening_of(tokenizer, excerpt)
        assert prime == shown
        assert 0 < len(tokenizer.encode(prime)) <= MOST_TOKENS
        assert prime not in sentences


@LEVELS
def test_a_text_of_no_sentences_begins_at_many_places_of_it(level: str) -> None:
    letters = random.Random(2)
    text = "".join(letters.choices("ACGT", k=5_000))
    if tokenizers[level].whole_words:
        text = " ".join(letters.choices(["AC", "GT", "TA", "CC"], k=2_000))
    tokenizer, excerpts = excerpts_of(text, level)
    primes = {opening_of(tokenizer, excerpt).prime for excerpt in excerpts}
    assert len(primes) > 10
    assert all(prime in text for prime in primes)


@LEVELS
@given(st.text(min_size=1, max_size=300))
def test_any_text_has_openings_that_are_no_line_of_it(level: str, text: str) -> None:
    vocabulary = train_tokenizer(f"a b {text}", text_config(level=level, min_count=1))
    excerpts = choose_excerpts(StoredText.of(text), vocabulary, 1, len(text))
    assert excerpts
    for excerpt in excerpts:
        prime, shown = opening_of(vocabulary, excerpt)
        assert prime
        assert excerpt.startswith(prime)
        assert shown in ("", prime)
        # A single character or word of a text without lines can be all there is.
        if len(set(vocabulary.spans(excerpt)[:, 1])) > 1:
            assert len(shown) < len(excerpt)


def test_whole_lines_in_folders_of_earlier_versions_are_cut() -> None:
    tokenizer = train_tokenizer("anna o\n", text_config())
    assert opening_of(tokenizer, "anna") == Opening("an", "an")
    assert opening_of(tokenizer, "o") == Opening("o", "o")
    with pytest.raises(ModelFolderError, match="give it a prime"):
        choose_opening(tokenizer, (), seed=1)
    primes = [choose_opening(tokenizer, ["anna", "o"], 5, i).prime for i in range(20)]
    assert set(primes) == {"an", "o"}
    assert primes == [choose_opening(tokenizer, ["anna", "o"], 5, i).prime for i in range(20)]
