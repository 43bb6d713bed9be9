"""Excerpts of a training text, with which a model's samples may begin."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from rondel.text.stored import StoredText
from rondel.text.tokenizers import Tokenizer

EXCERPTS, EXCERPT_LENGTH, EXCERPT_TOKENS = 32, 100, 8
LINES, LOOKED_AT = 8, 1_000_000
"""A text has lines if there are so many line breaks among so many of its first characters."""
REACH = 1_000
"""An excerpt is a sentence or word that begins within so many characters of a random place."""
LINE_BREAKS = re.compile(r"\n+(?=[^\n])")
BOUNDARY = re.compile(r"\n+|(?<=[.!?]) +|(?<=[.!?][\"')]) +")
BOUNDARIES = (BOUNDARY, re.compile(r"\s+"))


def choose_excerpts(text: StoredText, tokenizer: Tokenizer, seed: int, end: int) -> tuple[str, ...]:
    """Choose what samples may begin with if no prime is given, from the first `end` characters.

    In a text with lines, that is only its most frequent run of line breaks. In another text, it is
    the first few tokens of sentences, or of random places if there are none; whole sentences only
    if all are short.
    """
    line_break = _usual_line_break(text.text(0, min(LOOKED_AT, end)))
    if line_break is not None and tokenizer.decode(tokenizer.encode(line_break)) == line_break:
        return (line_break,)
    draw = np.random.default_rng(seed)
    places = sorted(draw.integers(0, end, EXCERPTS).tolist())
    windows = (text.text(place, min(place + REACH, end)) for place in places)
    found = dict.fromkeys(_excerpt(window, tokenizer) for window in windows)
    written = [excerpt for excerpt in found if excerpt.strip()]
    # Prefer excerpts without unknown words.
    known = [excerpt for excerpt in written if not tokenizer.unknowns(excerpt, 1)]
    return tuple(known or written or text.text(0, 1))


def _usual_line_break(text: str) -> str | None:
    """Return the most frequent run of line breaks before text; `None` if the text has no lines."""
    runs = Counter(match.group() for match in LINE_BREAKS.finditer(text))
    return max(runs, key=lambda run: (runs[run], -len(run))) if runs.total() >= LINES else None


def _excerpt(window: str, tokenizer: Tokenizer) -> str:
    """Return the first tokens of the sentence or word that begins in a window, or of the window."""
    begins = (match.end() for pattern in BOUNDARIES if (match := pattern.search(window)))
    begin = next((begin for begin in begins if begin < len(window)), 0)
    passage = window[begin : begin + EXCERPT_LENGTH]
    sentence = BOUNDARY.split(passage, maxsplit=1)[0]
    ends = tokenizer.spans(sentence)[:, 1]
    if sentence == passage and len(ends) > 1:
        ends = ends[:-1]  # which may be a word cut in two
    return sentence[: ends[:EXCERPT_TOKENS][-1]] if len(ends) else ""
