"""Features of a text that units are compared with.

A feature is computed for every character. A yes-or-no feature holds for a token if it holds for any
of its characters; a token has the numeric feature of its last character.

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
    """`values` (N,) of each token: 0 or 1, or with `is_number` any number.

    ::

        vowels = Feature("vowel", np.array([c in "aeiou" for c in text]))
        model.find_units(model.trace(text), [vowels])
    """

    name: str
    values: Values
    is_number: bool = False
    is_position: bool = False
    """Whether it counts positions, so that units are compared with sines of it too."""


@dataclass(frozen=True)
class _BuiltIn:
    compute: Callable[[str], Values]
    is_number: bool
    is_position: bool


_built_ins: dict[str, _BuiltIn] = {}


def _feature(
    name: str, *, number: bool = False, position: bool = False
) -> Callable[[Callable[[str], Values]], Callable[[str], Values]]:
    """Register a function from a text to the values (C,) of its characters."""

    def register(compute: Callable[[str], Values]) -> Callable[[str], Values]:
        _built_ins[name] = _BuiltIn(compute, number or position, position)
        return compute

    return register


def built_in_names() -> list[str]:
    """The names of the built-in features."""
    return list(_built_ins)


def features_of(
    text: str,
    spans: Spans,
    patterns: Mapping[str, str] | None = None,
    tracks: Mapping[str, npt.NDArray[np.bool_]] | None = None,
) -> list[Feature]:
    """Compute all features of a text with tokens at `spans` (N, 2).

    The user's features are `patterns`, regular expressions by name, which hold in their matches,
    and `tracks`, arrays (C,) by name. Raises `InputError` for an invalid expression, a track of the
    wrong length, or the name of a built-in feature.
    """
    features = [
        Feature(
            name,
            _by_token(feature.compute(text), spans, feature.is_number),
            feature.is_number,
            feature.is_position,
        )
        for name, feature in _built_ins.items()
    ]
    added = {name: _match(name, pattern, text) for name, pattern in (patterns or {}).items()}
    for name, track in (tracks or {}).items():
        if len(track) != len(text):
            raise InputError(
                f"track {name} has {len(track):,} marks for {len(text):,} characters; give one "
                "0 or 1 for each"
            )
        added[name] = track.astype(np.float32)
    for name, values in added.items():
        if name in _built_ins:
            raise InputError(f"there is a feature {name!r} already; choose another name")
        features.append(Feature(name, _by_token(values, spans, False)))
    return features


def _by_token(values_C: Values, spans: Spans, is_number: bool) -> Values:
    begins, ends = spans.T
    if is_number:
        last: Values = values_C[ends - 1]
        return last
    counts = np.concatenate([[0], np.cumsum(values_C)])
    any_of: Values = (counts[ends] > counts[begins]).astype(np.float32)
    return any_of


def _match(name: str, pattern: str, text: str) -> Values:
    try:
        return _matches(pattern, text)
    except re.error as error:
        raise InputError(
            f"feature {name}: {pattern!r} is not a regular expression ({error})"
        ) from None


def _matches(pattern: str, text: str) -> Values:
    """1 for each character that is part of a match."""
    values = np.zeros(len(text), np.float32)
    for match in re.finditer(pattern, text, FLAGS):
        values[match.start() : match.end()] = 1
    return values


def _step_function(begins: list[int], values: list[int], length: int) -> Values:
    """Repeat each value from its begin to the next."""
    return np.repeat(np.array(values, np.float32), np.diff([*begins, length]))


def _distance_from_last(marks: npt.NDArray[np.bool_]) -> Values:
    """Characters since the last mark, or since before the text; 0 at a mark."""
    places = np.arange(len(marks))
    last = np.maximum.accumulate(np.where(marks, places, -1))
    return (places - last).astype(np.float32)


def _characters_where(text: str, test: Callable[[str], bool]) -> npt.NDArray[np.bool_]:
    """Which characters (C,) pass a test; each distinct one is tested once."""
    answers = {character: test(character) for character in set(text)}
    return np.fromiter((answers[character] for character in text), np.bool_, len(text))


def _is_word(text: str) -> npt.NDArray[np.bool_]:
    return _characters_where(text, lambda character: character.isalnum() or character in "_'’")


@_feature("quotes")
def inside_quotes(text: str) -> Values:
    """From an opening double quote to before the closing one or a blank line.

    Straight quotes open and close in turn.
    """
    begins, states = [0], [0]
    for match in re.finditer(r'["“”„«»]|\n\s*\n', text):
        mark = match.group()
        begins.append(match.start())
        states.append(int(mark in "“„«" or (mark == '"' and not states[-1])))
    return _step_function(begins, states, len(text))


@_feature("bracket depth", number=True)
def bracket_depth(text: str) -> Values:
    """How many brackets are open; unmatched closing brackets are ignored."""
    begins, depths = [0], [0]
    for match in re.finditer(r"[(\[{)\]}]", text):
        begins.append(match.start())
        depths.append(depths[-1] + 1 if match.group() in "([{" else max(0, depths[-1] - 1))
    return _step_function(begins, depths, len(text))


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
    return _distance_from_last(~_is_word(text))


@_feature("end of word")
def word_end(text: str) -> Values:
    """A word's last character."""
    word = _is_word(text)
    ends: Values = (word & ~np.append(word[1:], False)).astype(np.float32)
    return ends


@_feature("position in line", position=True)
def line_position(text: str) -> Values:
    """Characters since the last newline; 0 at the newline."""
    return _distance_from_last(_characters_where(text, lambda character: character == "\n"))


@_feature("newline next")
def newline_next(text: str) -> Values:
    """The last character before a newline."""
    newline = _characters_where(text, lambda character: character == "\n")
    follows: Values = np.append(newline[1:], False).astype(np.float32)
    return follows


@_feature("vowel")
def vowel(text: str) -> Values:
    """a, e, i, o or u, with or without accents."""
    return _matches(r"(?i)[aeiouàáâãäåæèéêëìíîïòóôõöøùúûü]", text)


@_feature("digit")
def digit(text: str) -> Values:
    """A decimal digit."""
    return _characters_where(text, str.isdecimal).astype(np.float32)


@_feature("upper case")
def upper_case(text: str) -> Values:
    """A capital letter."""
    return _characters_where(text, str.isupper).astype(np.float32)


@_feature("url")
def url(text: str) -> Values:
    """A web address."""
    return _matches(r"(?:https?://|www\.)\S+", text)


@_feature("comment")
def comment(text: str) -> Values:
    """A comment in source code: from # or // to the line's end, or between /* and */."""
    return _matches(r"(?:(?<=\s)|^)(?:#|//).*$|/\*(?:.|\n)*?\*/", text)


@_feature("indentation", number=True)
def indentation(text: str) -> Values:
    """The number of spaces and tabs that indent the line."""
    values = np.zeros(len(text), np.float32)
    for match in re.finditer(r"^([ \t]+)\S.*$", text, FLAGS):
        values[match.start() : match.end()] = match.end(1) - match.start()
    return values


@_feature("speaker")
def speaker(text: str) -> Values:
    """A speaker's name in a play: capitalised words at the start of a line, and a colon."""
    return _matches(r"^[A-Z][\w.’'-]*(?: [A-Z][\w.’'-]*){0,3}:(?=\s|$)", text)
