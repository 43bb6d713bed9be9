"""The stop scanner: the same text whatever the pieces, up to the first stop string."""

from __future__ import annotations

import copy
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rondel.generation.stopping import StopScanner

few_letters = st.text("abc\n", max_size=30)
stop_lists = st.lists(st.text("abc\n", min_size=1, max_size=5), max_size=4)


def split(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[i:j] for i, j in itertools.pairwise(places)]


def before_first_stop(text: str, stops: list[str]) -> str:
    found = [text.find(stop) for stop in stops if stop in text]
    return text[: min(found)] if found else text


@given(few_letters, stop_lists, st.lists(st.integers(0, 1000)))
def test_any_pieces_give_the_text_before_the_first_stop(text, stops, cuts):
    scanner = StopScanner(stops)
    shown = "".join(scanner.push(piece) for piece in split(text, cuts)) + scanner.finish()
    assert shown == before_first_stop(text, stops)
    assert scanner.stopped == any(stop in text for stop in stops)


@given(few_letters, stop_lists)
def test_what_is_shown_early_is_never_taken_back_nor_held_without_need(text, stops):
    scanner, shown = StopScanner(stops), ""
    for i, character in enumerate(text, 1):
        shown += scanner.push(character)
        if scanner.stopped:
            break
        # Held back is what some end of the text could still be taken away with, and no more.
        endings = [text[j:i] for j in range(i + 1)]
        held = max(len(end) for end in endings if not end or any(s.startswith(end) for s in stops))
        assert shown == text[: i - held]


def test_a_stop_string_is_not_shown():
    scanner = StopScanner(["\n\n"])
    assert [scanner.push(piece) for piece in ["a\n", "b", "\n", "\nc", "d"]] == [
        "a",
        "\nb",
        "",
        "",
        "",
    ]
    assert scanner.stopped
    assert scanner.finish() == ""


def test_what_only_began_like_a_stop_is_shown_in_the_end():
    scanner = StopScanner(["END"])
    assert scanner.push("the EN") == "the "
    assert scanner.finish() == "EN"
    assert not scanner.stopped


@pytest.mark.parametrize(("after", "shown"), [("d", ""), ("x", "ab"), ("", "ab")])
def test_a_complete_stop_waits_for_one_that_may_have_begun_before(after, shown):
    scanner = StopScanner(["abcd", "c"])
    assert scanner.push("abc") == ""
    assert not scanner.stopped
    assert scanner.push(after) + scanner.finish() == shown
    assert scanner.stopped


def test_without_stops_all_passes_at_once():
    scanner = StopScanner([])
    assert scanner.push("abc") == "abc"
    assert scanner.finish() == ""
    assert not scanner.stopped


def test_a_copy_goes_its_own_way():
    scanner = StopScanner(["xy"])
    scanner.push("ax")
    other = copy.copy(scanner)
    assert other.push("y") == ""
    assert other.stopped
    assert not scanner.stopped
    assert scanner.push("z") == "xz"
