"""Features of a text, character by character, against marks made by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from _settings import text_config

from rondel.errors import InputError
from rondel.inspection.features import built_in_names, features_of
from rondel.text.tokenizers import train_tokenizer

MARKED = {
    "quotes": ['He "said so" then “this” too', "   xxxxxxxx       xxxxx     "],
    "brackets": ["f(a[b]c) ] d", " xxxxxx     "],
    "name": ["Then we saw New York, and Bo.", "            xxx xxxx      xx "],
    "end of word": ["it's a cat.", "   x x   x "],
    "newline next": ["ab\n\nc\n", " xx x "],
    "vowel": ["Ok, é!", "x   x "],
    "digit": ["a1 23", " x xx"],
    "upper case": ["aBÉ c", " xx  "],
    "url": ["see http://a.b/c now", "    xxxxxxxxxxxx    "],
    "comment": ["a = 1 # one\nb /* c\n */ d", "      xxxxx   xxxxxxxx  "],
    "speaker": ["KING HENRY VI:\nNo: it\nAll:\n", "xxxxxxxxxxxxxx xxx    xxxx "],
}
COUNTED = {
    "bracket depth": ["f(a[b]) ]c", "0112211000"[:2] + "122100" + "00"],
    "position in word": ["ab cde", "120123"],
    "position in line": ["abc\nde", "123012"],
    "indentation": ["a\n  b c\n\td", "00222220011"[:2] + "22222" + "0" + "11"],
}


def tracks_of(text: str, **own: object) -> dict[str, np.ndarray]:
    spans = train_tokenizer(text + "ab", text_config()).spans(text)
    return {f.name: f.values for f in features_of(text, spans, **own)}


def test_every_feature_is_marked_here() -> None:
    assert set(built_in_names()) == set(MARKED) | set(COUNTED)


@pytest.mark.parametrize("name", MARKED)
def test_yes_or_no(name: str) -> None:
    text, marks = MARKED[name]
    found = "".join("x" if value else " " for value in tracks_of(text)[name])
    assert found == marks.ljust(len(text))


@pytest.mark.parametrize("name", COUNTED)
def test_numbers(name: str) -> None:
    text, numbers = COUNTED[name]
    assert "".join(f"{value:.0f}" for value in tracks_of(text)[name]) == numbers


def test_a_blank_line_closes_a_quote() -> None:
    assert tracks_of('"a\n\nb')["quotes"].tolist() == [1, 1, 0, 0, 0]


def test_words_take_the_features_of_their_characters() -> None:
    text = "We met Ann in (1999)."
    tokenizer = train_tokenizer(text, text_config(level="word", min_count=1))
    spans = tokenizer.spans(text)
    words = [text[begin:end] for begin, end in spans]
    found = {f.name: f.values for f in features_of(text, spans)}
    for name in ("name", "digit", "upper case", "brackets"):
        held = [word for word, value in zip(words, found[name], strict=True) if value]
        assert (
            held
            == {
                "name": ["Ann"],
                "digit": ["1999"],
                "upper case": ["We", "Ann"],
                "brackets": ["(", "1999"],
            }[name]
        )
    # A number is that of the last character: the state has read it.
    assert found["position in line"][2] == len("We met Ann")


def test_the_users_features() -> None:
    own = np.array([True, False, False, True])
    found = tracks_of("abba", patterns={"bs": "b+"}, tracks={"ends": own})
    assert found["bs"].tolist() == [0, 1, 1, 0]
    assert found["ends"].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"patterns": {"bad": "("}}, "feature bad: '(' is not a regular expression (missing )"),
        ({"patterns": {"vowel": "a"}}, "there is a feature 'vowel' already; choose another name"),
        (
            {"tracks": {"mine": np.array([True])}},
            "track mine has 1 marks for 4 characters; give one 0 or 1 for each",
        ),
    ],
)
def test_invalid_features_are_refused(own: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        tracks_of("abba", **own)
