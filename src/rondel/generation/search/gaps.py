"""A text with gaps: its tokens between them, and the text again once they are filled.

What stands between the gaps is never made from its tokens, which may lack some of it: it comes back
as it was typed. At word level only the single space that words imply belongs to the gap beside it:
a comma filled in leans on the word before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rondel.engine.base import Ids
from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans

# A word to every way of splitting, and a character to the others.
PLACEHOLDER = "x"


@dataclass(frozen=True)
class Part:
    """What stands before, between or after gaps: its tokens, and their text as it was typed.

    `space_before` and `space_after` say whether a space that words imply is next to it. One
    without tokens between two gaps is at most that space, which is then `space_before`.
    """

    ids: Ids
    text: str
    space_before: bool
    space_after: bool


def split_at_gaps(tokenizer: Tokenizer, text: str, gap: str) -> list[Part]:
    """The parts of a text between its gaps.

    Raises `InputError` if it has no gap, or one that runs into a word at word level.
    """
    typed = text.split(gap)
    if len(typed) == 1:
        raise InputError(f"the text has no gap: mark one with {gap!r}, or say how it is marked")
    # Encoded whole, so that what is next to a gap is what it is next to a word.
    whole = PLACEHOLDER.join(typed)
    ids, spans = tokenizer.encode(whole), tokenizer.spans(whole)
    parts: list[Part] = []
    first, place = 0, 0
    for part in typed[:-1]:
        end = place + len(part)
        after = _token_at(tokenizer, spans, whole, end, gap)
        own = spans[first:after] - place
        parts.append(_part(ids[first:after], part, own, after_gap=place > 0, before_gap=True))
        first, place = after + 1, end + 1
    own = spans[first:] - place
    return [*parts, _part(ids[first:], typed[-1], own, after_gap=True, before_gap=False)]


def _token_at(tokenizer: Tokenizer, spans: Spans, whole: str, place: int, gap: str) -> int:
    """The number of the token that stands for the gap at a place."""
    (touching,) = np.nonzero((spans[:, 0] < place + 1) & (spans[:, 1] > place))
    first = int(touching[0])
    if len(touching) > 1 or tuple(spans[first]) != (place, place + 1):
        clash = whole[spans[touching, 0].min() : spans[touching, 1].max()]
        shown = clash.replace(PLACEHOLDER, gap, 1) if clash.count(PLACEHOLDER) == 1 else gap
        raise InputError(
            f"a gap is whole {tokenizer.token_noun}s, and this one is part of one: {shown!r}; "
            "put spaces around it"
        )
    return first


def _part(ids: Ids, typed: str, spans: Spans, *, after_gap: bool, before_gap: bool) -> Part:
    if not len(spans):
        between = after_gap and before_gap
        return Part(ids, "" if between else typed, between and bool(typed), False)
    # Of white space that is no token, a single space goes with the gap beside it.
    before = after_gap and spans[0, 0] > 0 and typed.startswith(" ")
    after = before_gap and spans[-1, 1] < len(typed) and typed.endswith(" ")
    text = typed[int(before) : len(typed) - int(after)]
    return Part(ids, text, bool(before), bool(after))


def put_together(
    tokenizer: Tokenizer, parts: Sequence[Part], fillings: Sequence[tuple[int, ...]]
) -> str:
    """The text with every gap filled by these tokens, all else as it was typed."""
    first, *others = parts
    pieces = [first.text]
    before: int | None = int(first.ids[-1]) if len(first.ids) else None
    implied = first.space_after
    for filling, part in zip(fillings, others, strict=True):
        pieces += [_space(tokenizer, implied, before, filling[0]), tokenizer.decode(filling)]
        before, implied = filling[-1], part.space_before
        if len(part.ids):
            pieces.append(_space(tokenizer, implied, before, int(part.ids[0])))
            before, implied = int(part.ids[-1]), part.space_after
        pieces.append(part.text)
    return "".join(pieces)


def _space(tokenizer: Tokenizer, implied: bool, before: int | None, after: int) -> str:
    """What of an implied space is written between two tokens: nothing, if one leans on the other.

    With no token before, the space begins the text, and is a token of its own.
    """
    if not implied or before is None:
        return ""
    decoder = tokenizer.decoder()
    decoder.push(before)
    return " " if decoder.push(after).startswith(" ") else ""


def unknowns_around(tokenizer: Tokenizer, text: str, gap: str) -> list[str]:
    """What around the gaps of a text the vocabulary lacks, each once, in order of appearance."""
    whole = PLACEHOLDER.join(text.split(gap))
    spans = tokenizer.spans(whole)
    lacking = spans[tokenizer.encode(whole) == tokenizer.unknown_id]
    gaps, place = set(), -len(PLACEHOLDER)
    for part in text.split(gap)[:-1]:
        place += len(part) + len(PLACEHOLDER)
        gaps.add(place)
    found = dict.fromkeys(whole[b:e] for b, e in lacking.tolist() if b not in gaps)
    # A text may spell the unknown out, and then lacks nothing.
    return [name for name in found if tokenizer.unknowns(name)]
