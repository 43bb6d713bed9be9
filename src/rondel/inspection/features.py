"""What a text is like at each of its characters: the features that units are held against.

A feature is worked out once for the whole text, character by character. That of a token comes from
its characters: it holds where it holds for any of them, and counts what its last one does.

Shapes: C characters, N tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.text.tokenizers.base import Spans

Values = npt.NDArray[np.float32]
FLAGS = re.MULTILINE


@dataclass(frozen=True, eq=False)
class Feature:
    """A track beside the text: `values` (N,), 0 and 1 if it is yes or no, else a number.

    ::

        vowels = Feature("vowel", np.array([c in "aeiou" for c in text]))
        model.find_units(model.trace(text), [vowels])
    """

    name: str
    values: Values
    is_number: bool = False
    is_position: bool = False
    """Whether it counts along the text, so that units may go up and down with it as a sine does."""


@dataclass(frozen=True)
class _Kind:
    compute: Callable[[str], Values]
    is_number: bool
    is_position: bool


_kinds: dict[str, _Kind] = {}


def _feature(
    name: str, *, number: bool = False, position: bool = False
) -> Callable[[Callable[[str], Values]], Callable[[str], Values]]:
    """File a function from a text to a value for each of its characters."""

    def file_it(compute: Callable[[str], Values]) -> Callable[[str], Values]:
        _kinds[name] = _Kind(compute, number or position, position)
        return compute

    return file_it


def names() -> list[str]:
    """What features there are without anyone giving any."""
    return list(_kinds)


def features_of(
    text: str,
    spans: Spans,
    patterns: Mapping[str, str] | None = None,
    tracks: Mapping[str, npt.NDArray[np.bool_]] | None = None,
) -> list[Feature]:
    """Every feature of a text with tokens at `spans` (N, 2).

    `patterns` names regular expressions, which hold in what they match, and `tracks` arrays (C,) of
    the user's own. Raises `InputError` for an expression that is none, a track of another length,
    or a name that is taken.
    """
    features = [
        Feature(
            name,
            _of_tokens(kind.compute(text), spans, kind.is_number),
            kind.is_number,
            kind.is_position,
        )
        for name, kind in _kinds.items()
    ]
    own = {name: _own(name, pattern, text) for name, pattern in (patterns or {}).items()}
    for name, track in (tracks or {}).items():
        if len(track) != len(text):
            raise InputError(
                f"track {name} has {len(track):,} marks for {len(text):,} characters; give it one "
                "0 or 1 for each"
            )
        own[name] = track.astype(np.float32)
    for name, values in own.items():
        if name in _kinds:
            raise InputError(f"there is a feature {name!r} already; name yours otherwise")
        features.append(Feature(name, _of_tokens(values, spans, False)))
    return features


def _of_tokens(values_C: Values, spans: Spans, is_number: bool) -> Values:
    begins, ends = spans.T
    if is_number:
        last: Values = values_C[ends - 1]
        return last
    counts = np.concatenate([[0], np.cumsum(values_C)])
    any_of: Values = (counts[ends] > counts[begins]).astype(np.float32)
    return any_of


def _own(name: str, pattern: str, text: str) -> Values:
    try:
        return _matches(pattern, text)
    except re.error as error:
        raise InputError(
            f"feature {name}: {pattern!r} is no regular expression ({error})"
        ) from None


def _matches(pattern: str, text: str) -> Values:
    """1 for each character that is part of a match."""
    values = np.zeros(len(text), np.float32)
    for match in re.finditer(pattern, text, FLAGS):
        values[match.start() : match.end()] = 1
    return values


def _held(places: list[int], values: list[int], length: int) -> Values:
    """Values each of which begins at its place, and holds until the next does."""
    return np.repeat(np.array(values, np.float32), np.diff([*places, length]))


def _since(marks: npt.NDArray[np.bool_]) -> Values:
    """How many characters ago the last mark was, or the text began: 0 at a mark."""
    places = np.arange(len(marks))
    last = np.maximum.accumulate(np.where(marks, places, -1))
    return (places - last).astype(np.float32)


def _is(text: str, test: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
    """Which characters pass a test, each different one tested once."""
    answers = {character: test(character) for character in set(text)}
    return np.fromiter((answers[character] for character in text), np.bool_, len(text))


def _is_word(text: str) -> npt.NDArray[np.bool_]:
    return _is(text, lambda character: character.isalnum() or character in "_'’")


@_feature("quotes")
def inside_quotes(text: str) -> Values:
    """From an opening double quote to before the closing one, which a blank line is too.

    Straight quotes open and close in turn.
    """
    places, states = [0], [0]
    for match in re.finditer(r'["“”„«»]|\n\s*\n', text):
        mark = match.group()
        places.append(match.start())
        states.append(int(mark in "“„«" or (mark == '"' and not states[-1])))
    return _held(places, states, len(text))


@_feature("bracket depth", number=True)
def bracket_depth(text: str) -> Values:
    """How many brackets are open; one that closes nothing counts for nothing."""
    places, depths = [0], [0]
    for match in re.finditer(r"[(\[{)\]}]", text):
        places.append(match.start())
        depths.append(depths[-1] + 1 if match.group() in "([{" else max(0, depths[-1] - 1))
    return _held(places, depths, len(text))


@_feature("brackets")
def inside_brackets(text: str) -> Values:
    """Whether any bracket is open."""
    return (bracket_depth(text) > 0).astype(np.float32)


@_feature("name")
def inside_name(text: str) -> Values:
    """Within a capitalised word that begins neither a line nor a sentence."""
    values = np.zeros(len(text), np.float32)
    for match in re.finditer(r"(?<=[\w,;’'] )[^\W\d_][\w’']+", text):
        values[match.start() : match.end()] = match.group()[0].isupper()
    return values


@_feature("position in word", number=True)
def word_position(text: str) -> Values:
    """1 at a word's first character, and so on; 0 between words."""
    return _since(~_is_word(text))


@_feature("end of word")
def word_end(text: str) -> Values:
    """A word's last character."""
    word = _is_word(text)
    ends: Values = (word & ~np.append(word[1:], False)).astype(np.float32)
    return ends


@_feature("position in line", position=True)
def line_position(text: str) -> Values:
    """Characters since the newline, which is 0 itself."""
    return _since(_is(text, lambda character: character == "\n"))


@_feature("newline next")
def newline_next(text: str) -> Values:
    """The last character before a newline."""
    newline = _is(text, lambda character: character == "\n")
    follows: Values = np.append(newline[1:], False).astype(np.float32)
    return follows


@_feature("vowel")
def vowel(text: str) -> Values:
    """a, e, i, o or u, with whatever accents."""
    return _matches(r"(?i)[aeiouàáâãäåæèéêëìíîïòóôõöøùúûü]", text)


@_feature("digit")
def digit(text: str) -> Values:
    """A decimal digit."""
    return _is(text, str.isdecimal).astype(np.float32)


@_feature("upper case")
def upper_case(text: str) -> Values:
    """A capital letter."""
    return _is(text, str.isupper).astype(np.float32)


@_feature("url")
def url(text: str) -> Values:
    """A web address."""
    return _matches(r"(?:https?://|www\.)\S+", text)


@_feature("comment")
def comment(text: str) -> Values:
    """A comment as programs have them: from # or // to the line's end, or between /* and */."""
    return _matches(r"(?:(?<=\s)|^)(?:#|//).*$|/\*(?:.|\n)*?\*/", text)


@_feature("indentation", number=True)
def indentation(text: str) -> Values:
    """By how many blanks or tabs its line is indented."""
    values = np.zeros(len(text), np.float32)
    for match in re.finditer(r"^([ \t]+)\S.*$", text, FLAGS):
        values[match.start() : match.end()] = match.end(1) - match.start()
    return values


@_feature("speaker")
def speaker(text: str) -> Values:
    """The name of who speaks in a play: capitalised words that a line begins with, and a colon."""
    return _matches(r"^[A-Z][\w.’'-]*(?: [A-Z][\w.’'-]*){0,3}:(?=\s|$)", text)
