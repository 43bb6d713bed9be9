"""Sentences of a text, for `--max-sentence-length`.

Every cut keeps the text whole: joined together, the sentences are the text again, since each keeps
the white space that follows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

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


def split_sentences(text: str, how: str) -> list[str]:
    """The sentences of a text, each with the white space after it; joined, they are the text.

    `lines`: each line is one. `prose`: one ends at `. ! ? …`, with the quotes and brackets that
    close after it, if what follows white space can begin another; and at a blank line. Titles,
    common abbreviations and initials end none, nor does the end of a line.
    """
    if how == "lines":
        return LINE.findall(text)
    if how == "prose":
        return list(_prose(text))
    raise InputError(f"sentences are split by lines or prose, not {how!r}")


def drop_long_sentences(
    text: str, how: str, longest: int, count_words: Callable[[str], int]
) -> tuple[str, int]:
    """The text without its sentences of more than `longest` words, and how many were dropped.

    Raises `InputError` if that leaves no word.
    """
    kept, dropped, shortest = [], 0, 0
    for sentence in split_sentences(text, how):
        words = count_words(sentence)
        if words <= longest:
            kept.append(sentence)
        else:
            dropped += 1
            shortest = min(shortest or words, words)
    if dropped and not any(map(count_words, kept)):
        raise InputError(
            f"no sentence of this text has {longest} words or fewer (split by {how}): "
            f"raise --max-sentence-length to {shortest} at least"
        )
    return "".join(kept), dropped


def sentence_lines(
    text: str, how: str, longest: int, size: Callable[[str], int]
) -> tuple[list[str], int, int]:
    """One sentence a line, each with its line break; blank ones, and those of more than `longest`.

    These two are counted and left out. White space within a sentence becomes one space. Raises
    `InputError` if that leaves none.
    """
    kept, blank, dropped = [], 0, 0
    for sentence in split_sentences(text, how):
        line = " ".join(sentence.split())
        if not line:
            blank += 1
        elif size(line) > longest:
            dropped += 1
        else:
            kept.append(line + "\n")
    if not kept:
        why = f"all {dropped:,} are longer than {longest}" if dropped else "it is blank"
        raise InputError(f"this text has no sentence to learn from ({why}); give it another")
    return kept, blank, dropped


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
