"""Sentences of a text, for `--max-sentence-length`.

Every cut keeps the text whole: joined together, the sentences are the text again, since each keeps
the white space that follows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rondel.errors import InputError

LINE = re.compile(r"[^\n]*\n|[^\n]+")
GAP = re.compile(r"\s+")

ENDS = (".", "!", "?", "…")
CLOSING = "\"'”’»)]}*_"
OPENING = "\"'“‘«([{¿¡*_—–-"

# They stand before a name, a number or an explanation, and so do not end a sentence. Those that
# may well end one (etc., Inc., a.m.) are left out: before a small letter they end none anyway.
TITLES = "mr|mrs|ms|dr|st|prof|rev|hon|gen|col|capt|lt|sgt|maj|adm|gov|sen|rep|pres|messrs|mme|mlle"
REFERENCES = "e.g|i.e|cf|vs|viz|vol|fig|figs|ch|ed|eds|p|pp|ca|approx|mt"
ABBREVIATIONS = frozenset(f"{TITLES}|{REFERENCES}".split("|"))
BEFORE_NUMBERS = frozenset(("no", "nos", "sec"))


@dataclass
class LeftOut:
    """How many sentences of a text were left out: blank ones, and those that are too long."""

    blank: int = 0
    too_long: int = 0


def split_sentences(texts: Iterable[str], how: str) -> Iterator[str]:
    """The sentences of a text in blocks, each with the white space after it.

    Joined, they are the text. `lines`: each line is one. `prose`: one ends at `. ! ? …`, with the
    quotes and brackets that close after it, if what follows white space can begin another; and at a
    blank line. Titles, common abbreviations and initials end none, nor does the end of a line.
    """
    if how not in SPLITTERS:
        raise InputError(f"sentences are split by lines or prose, not {how!r}")
    held = ""
    for text in texts:
        # The last may go on in the next block, and so may the white space after it.
        *whole, held = SPLITTERS[how](held + text) or [""]
        yield from whole
    if held:
        yield from SPLITTERS[how](held)


def without_long_sentences(
    texts: Iterable[str],
    how: str,
    longest: int,
    count_words: Callable[[str], int],
    left_out: LeftOut,
) -> Iterator[str]:
    """The sentences of a text that have `longest` words at most; the others are counted.

    Raises `InputError` at the end if that leaves no word.
    """
    any_word, shortest = False, 0
    for sentence in split_sentences(texts, how):
        words = count_words(sentence)
        if words <= longest:
            any_word = any_word or words > 0
            yield sentence
        else:
            left_out.too_long += 1
            shortest = min(shortest or words, words)
    if left_out.too_long and not any_word:
        raise InputError(
            f"no sentence of this text has {longest} words or fewer (split by {how}): "
            f"raise --max-sentence-length to {shortest} at least"
        )


def sentence_lines(
    texts: Iterable[str], how: str, longest: int, size: Callable[[str], int], left_out: LeftOut
) -> Iterator[str]:
    """One sentence a line, each with its line break; without blank ones, and too long ones.

    These are counted. White space within a sentence becomes one space. Raises `InputError` at the
    end if that leaves none.
    """
    empty = True
    for sentence in split_sentences(texts, how):
        line = " ".join(sentence.split())
        if not line:
            left_out.blank += 1
        elif size(line) > longest:
            left_out.too_long += 1
        else:
            empty = False
            yield line + "\n"
    if empty:
        dropped = left_out.too_long
        why = f"all {dropped:,} are longer than {longest}" if dropped else "it is blank"
        raise InputError(f"this text has no sentence to learn from ({why}); give it another")


def _prose(text: str) -> Iterator[str]:
    start = word_start = 0
    for gap in GAP.finditer(text):
        first = _first_letter(text, gap.end())
        # Any letter but a small one can begin a sentence, and so can a digit.
        may_begin = first.isalnum() and not first.islower()
        ends = may_begin and _ends_sentence(text[word_start : gap.start()], first)
        if ends or gap.group().count("\n") > 1:
            yield text[start : gap.end()]
            start = gap.end()
        word_start = gap.end()
    if start < len(text):
        yield text[start:]


def _first_letter(text: str, place: int) -> str:
    """The character at `place`, or after the quotes and brackets there; empty at the end."""
    while place < len(text) and text[place] in OPENING:
        place += 1
    return text[place : place + 1]


def _ends_sentence(word: str, following: str) -> bool:
    """Whether a sentence ends with `word`, if `following` may begin another."""
    bare = word.rstrip(CLOSING)
    if not bare.endswith(ENDS):
        return False
    if bare != word or bare.endswith(("!", "?", "…", "..")):
        return True
    # What stands before the full stop, free of a quote or the first half of "that—Mr.".
    last = re.split("[—–-]", bare[:-1])[-1].lstrip(OPENING)
    if last.lower() in ABBREVIATIONS or (last.lower() in BEFORE_NUMBERS and following.isdigit()):
        return False
    # One capital is an initial (J. R. Tolkien, U.S.), save in "So do I."
    initial = last.rpartition(".")[2]
    return not (len(initial) == 1 and initial.isupper() and last != "I")


SPLITTERS: dict[str, Callable[[str], list[str]]] = {
    "lines": LINE.findall,
    "prose": lambda text: list(_prose(text)),
}
