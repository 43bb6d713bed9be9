"""Texts with gaps: split at them into tokens, and put together again once they are filled.

The text between the gaps is kept as it was typed, since its tokens may not give back all of it. At
word level, only the single space that words imply belongs to the gap beside it, so that a comma
that is filled in can follow a word directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rondel.engine.base import Ids
from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans

PLACEHOLDER = "x"
"""Replaces a gap's mark while the text is encoded: a word of its own, or a character."""


@dataclass(frozen=True)
class Segment:
    """The text before, between or after gaps, as it was typed, and its tokens.

    `space_before` and `space_after` say whether an implied space is between it and the gap. A
    segment without tokens between two gaps is at most that space, then marked as `space_before`.
    """

    ids: Ids
    text: str
    space_before: bool
    space_after: bool


def split_at_gaps(tokenizer: Tokenizer, text: str, gap: str) -> list[Segment]:
    """Split a text at its gaps.

    Raises `InputError` if it has no gap, or one that touches a word at word level.
    """
    typed = text.split(gap)
    if len(typed) == 1:
        raise InputError(f"the text has no gap: mark one with {gap!r}, or say how it is marked")
    # Encoded as a whole, so that the text next to a gap has the tokens that it has next to a word.
    whole = PLACEHOLDER.join(typed)
    ids, spans = tokenizer.encode(whole), tokenizer.spans(whole)
    segments: list[Segment] = []
    first, place = 0, 0
    for segment in typed[:-1]:
        end = place + len(segment)
        after = _token_at(tokenizer, spans, whole, end, gap)
        within = spans[first:after] - place
        segments.append(
            _segment(ids[first:after], segment, within, after_gap=place > 0, before_gap=True)
        )
        first, place = after + 1, end + 1
    within = spans[first:] - place
    return [*segments, _segment(ids[first:], typed[-1], within, after_gap=True, before_gap=False)]


def _token_at(tokenizer: Tokenizer, spans: Spans, whole: str, place: int, gap: str) -> int:
    """Return the index of the placeholder's token at a place in the text."""
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


def _segment(ids: Ids, typed: str, spans: Spans, *, after_gap: bool, before_gap: bool) -> Segment:
    if not len(spans):
        between = after_gap and before_gap
        return Segment(ids, "" if between else typed, between and bool(typed), False)
    # An implied space next to a gap belongs to the gap.
    before = after_gap and spans[0, 0] > 0 and typed.startswith(" ")
    after = before_gap and spans[-1, 1] < len(typed) and typed.endswith(" ")
    text = typed[int(before) : len(typed) - int(after)]
    return Segment(ids, text, bool(before), bool(after))


def put_together(
    tokenizer: Tokenizer, segments: Sequence[Segment], fillings: Sequence[tuple[int, ...]]
) -> str:
    """Return the text with its gaps filled by these tokens, and the rest as it was typed."""
    first, *others = segments
    pieces = [first.text]
    before: int | None = int(first.ids[-1]) if len(first.ids) else None
    implied = first.space_after
    for filling, segment in zip(fillings, others, strict=True):
        pieces += [_space(tokenizer, implied, before, filling[0]), tokenizer.decode(filling)]
        before, implied = filling[-1], segment.space_before
        if len(segment.ids):
            pieces.append(_space(tokenizer, implied, before, int(segment.ids[0])))
            before, implied = int(segment.ids[-1]), segment.space_after
        pieces.append(segment.text)
    return "".join(pieces)


def _space(tokenizer: Tokenizer, implied: bool, before: int | None, after: int) -> str:
    """Return the implied space between two tokens: empty if they join, as a word and a comma do.

    Without a token before, the space begins the text, and is a token by itself.
    """
    if not implied or before is None:
        return ""
    decoder = tokenizer.decoder()
    decoder.push(before)
    return " " if decoder.push(after).startswith(" ") else ""


def unknowns_around(tokenizer: Tokenizer, text: str, gap: str) -> list[str]:
    """Return the unknown tokens around the gaps of a text, each once, in order of appearance."""
    whole = PLACEHOLDER.join(text.split(gap))
    spans = tokenizer.spans(whole)
    lacking = spans[tokenizer.encode(whole) == tokenizer.unknown_id]
    gaps, place = set(), -len(PLACEHOLDER)
    for segment in text.split(gap)[:-1]:
        place += len(segment) + len(PLACEHOLDER)
        gaps.add(place)
    found = dict.fromkeys(whole[b:e] for b, e in lacking.tolist() if b not in gaps)
    # A text may contain the unknown token's own spelling, which is known.
    return [name for name in found if tokenizer.unknowns(name)]
