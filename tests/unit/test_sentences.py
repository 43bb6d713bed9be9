from __future__ import annotations

from pydoc_data.topics import topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import InputError
from rondel.text.sentences import LeftOut, split_sentences, without_long_sentences


def words(sentence: str) -> int:
    return len(sentence.split())


def split(text: str, how: str) -> list[str]:
    return list(split_sentences([text], how))


def dropped(text: str, how: str, longest: int) -> tuple[str, int]:
    left_out = LeftOut()
    kept = "".join(without_long_sentences([text], how, longest, words, left_out))
    return kept, left_out.too_long


def prose(text: str) -> list[str]:
    sentences = split(text, "prose")
    assert "".join(sentences) == text
    return [sentence.strip() for sentence in sentences]


def test_lines_keep_their_ends() -> None:
    assert split("a. B\n\n c\x0cd\r\nlast", "lines") == [
        *("a. B\n", "\n", " c\x0cd\r\n", "last"),
    ]
    assert split("", "lines") == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("He left\nearly. She\nstayed.", ["He left\nearly.", "She\nstayed."]),
        ("A title\n\nA sentence. \n", ["A title", "A sentence."]),
        ("A title\n \t\nsmall letters", ["A title", "small letters"]),
        ('"Stop." "Why?" (So there.) Then.', ['"Stop."', '"Why?"', "(So there.)", "Then."]),
        ("“No!” she said. He went.", ["“No!” she said.", "He went."]),
        ("Mr. and Mrs. Smith met Dr. Who.", ["Mr. and Mrs. Smith met Dr. Who."]),
        ("Meet (St. Paul) at St. James, e.g. London.", None),
        ("J. R. R. Tolkien and J.R.R. Tolkien and the U.S. Army.", None),
        ("Not so tall as I. He was.", ["Not so tall as I.", "He was."]),
        ("Pens, ink, etc. and so on, i.e. things.", None),
        ("Symphony No. 5 was played.", None),
        ("“No.” No. Never.", ["“No.”", "No.", "Never."]),
        ("It was 3.14 or 5.2 then. 7 men came.", ["It was 3.14 or 5.2 then.", "7 men came."]),
        ("Well... perhaps. Well... Yes.", ["Well... perhaps.", "Well...", "Yes."]),
        ("He came — Mr. Brown—Dr. Green.", None),
        ("Да. Нет. да", ["Да.", "Нет. да"]),
    ],
)
def test_prose(text: str, sentences: list[str] | None) -> None:
    assert prose(text) == (sentences or [text])


def test_real_prose_ends_where_it_should() -> None:
    sentences = prose(topics["assert"])
    assert sum(sentence.endswith(".") for sentence in sentences) >= 5
    assert all(". The" not in sentence for sentence in sentences)


@pytest.mark.parametrize("how", ["lines", "prose"])
@given(text=st.one_of(st.text(), st.text(alphabet='aB.!… \n"”)(1—')))
def test_joined_sentences_are_the_text(how: str, text: str) -> None:
    sentences = split(text, how)
    assert "".join(sentences) == text
    assert all(sentences)
    for size in (1, 2, 7):
        blocks = [text[i : i + size] for i in range(0, len(text), size)]
        assert list(split_sentences(blocks, how)) == sentences


def test_long_sentences_are_dropped_and_counted() -> None:
    text = "One two. One two three four. One.\n\nOne two three. Five six seven eight nine.\n"
    assert dropped(text, "prose", 3) == ("One two. One.\n\nOne two three. ", 2)
    assert dropped("a b\n\nc\nd e f\n", "lines", 2) == ("a b\n\nc\n", 1)
    assert dropped(" \n", "lines", 2) == (" \n", 0)


def test_dropping_everything_is_refused() -> None:
    with pytest.raises(InputError, match=r"raise --max-sentence-length to 3 at least$"):
        dropped("a b c\n\nd e f g\n", "lines", 2)


def test_another_way_of_splitting_is_refused() -> None:
    with pytest.raises(InputError, match="lines or prose, not 'verse'"):
        split("a", "verse")


def test_a_long_text_without_spaces_takes_no_time() -> None:
    assert len(split('.")' * 100_000 + " A", "prose")) == 2
