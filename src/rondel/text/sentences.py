"""Splitting a text into sentences, for `--max-sentence-length`.

Each sentence keeps the white space after it, so that all of them joined are the text.
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

# Abbreviations before a name, a number or an explanation, which do not end a sentence. Those that
# often end one (etc., Inc., a.m.) are not listed: before a small letter no sentence ends anyway.
TITLES = "mr|mrs|ms|dr|st|prof|rev|hon|gen|col|capt|lt|sgt|maj|adm|gov|sen|rep|pres|messrs|mme|mlle"
REFERENCES = "e.g|i.e|cf|vs|viz|vol|fig|figs|ch|ed|eds|p|pp|ca|approx|mt"
ABBREVIATIONS = frozenset(f"{TITLES}|{REFERENCES}".split("|"))
BEFORE_NUMBERS = frozenset(("no", "nos", "sec"))


@dataclass
class LeftOut:
    """How many sentences of a text were left out, because they are blank or too long."""

    blank: int = 0
    too_long: int = 0


def split_sentences(texts: Iterable[str], how: str) -> Iterator[str]:
    """Yield the sentences of a text in blocks, each with the white space after it.

    `lines`: each line is a sentence. `prose`: a sentence ends at `. ! ? …` and any closing quotes
    and brackets, if the text after the white space can begin another; and at a blank line. It does
    not end at titles, common abbreviations and initials, nor at the end of a line.
    """
    if how not in SPLITTERS:
        raise InputError(f"sentences are split by lines or prose, not {how!r}")
    rest = ""
    for text in texts:
        # The last one, or the white space after it, may continue in the next block.
        *whole, rest = SPLITTERS[how](rest + text) or [""]
        yield from whole
    if rest:
        yield from SPLITTERS[how](rest)


def without_long_sentences(
    texts: Iterable[str],
    how: str,
    longest: int,
    count_words: Callable[[str], int],
    left_out: LeftOut,
) -> Iterator[str]:
    """Yield the sentences of at most `longest` words, and count the others.

    Raises `InputError` at the end if no word is left.
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
    """Yield each sentence as a line with its line break; count blank and too long ones.

    White space within a sentence becomes one space. Raises `InputError` at the end if no sentence
    is left.
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
        # A sentence can begin with any letter but a small one, or with a digit.
        may_begin = first.isalnum() and not first.islower()
        ends = may_begin and _ends_sentence(text[word_start : gap.start()], first)
        if ends or gap.group().count("\n") > 1:
            yield text[start : gap.end()]
            start = gap.end()
        word_start = gap.end()
    if start < len(text):
        yield text[start:]


def _first_letter(text: str, place: int) -> str:
    """Return the character at `place`, or after opening quotes and brackets; empty at the end."""
    while place < len(text) and text[place] in OPENING:
        place += 1
    return text[place : place + 1]


def _ends_sentence(word: str, following: str) -> bool:
    """Return whether a sentence ends with `word`, if `following` can begin another."""
    bare = word.rstrip(CLOSING)
    if not bare.endswith(ENDS):
        return False
    if bare != word or bare.endswith(("!", "?", "…", "..")):
        return True
    # The word before the full stop, without a quote or the first half of "that—Mr.".
    last = re.split("[—–-]", bare[:-1])[-1].lstrip(OPENING)
    if last.lower() in ABBREVIATIONS or (last.lower() in BEFORE_NUMBERS and following.isdigit()):
        return False
    # A single capital is an initial (J. R. Tolkien, U.S.), except "I", as in "So do I."
    initial = last.rpartition(".")[2]
    return not (len(initial) == 1 and initial.isupper() and last != "I")


SPLITTERS: dict[str, Callable[[str], list[str]]] = {
    "lines": LINE.findall,
    "prose": lambda text: list(_prose(text)),
}
