"""Where the chunks of a text in UTF-8 begin and end.

A chunk is what tokenizers of words and of subwords cut a text into before they look at what is in
it; `rondel.text.tokenizers.word` and `rondel.text.subwords.splitting` have the same as regular
expressions. There are three rules:

- `WORDS`: a run of anything but white space, or a run of the same white space, unless that is one
  space between two of the former;
- `TOKENISED`: the same without any white space but line breaks, each by itself;
- `SUBWORDS`: a run of line breaks, or blanks and the run of anything else after them.
"""

from __future__ import annotations

import numpy as np

from rondel.kernels.compiling import compiled
from rondel.kernels.text.characters import Bytes, code_at

WORDS, TOKENISED, SUBWORDS = range(3)
LINE_BREAK, SPACE = 0x0A, 0x20

# Bytes that white space begins with: in ASCII, and the first of what is longer.
MAY_BE_SPACE = np.zeros(256, np.bool_)
MAY_BE_SPACE[[*range(9, 14), *range(28, 33), 0xC2, 0xE1, 0xE2, 0xE3]] = True


@compiled
def space_at(data: Bytes, place: int) -> int:
    """How many bytes the white space at `place` has; 0 if it is none, as `str.isspace` says."""
    first = data[place]
    if first <= SPACE:
        return int(9 <= first <= 13 or 28 <= first <= 32)
    if first < 0xC2 or first > 0xE3:
        return 0
    code, after = code_at(data, place)
    if code in (0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000):
        return after - place
    return after - place if 0x2000 <= code <= 0x200A else 0


@compiled
def blank_at(data: Bytes, place: int) -> int:
    """The same for white space of Unicode's White_Space property, line breaks aside."""
    first = data[place]
    if first == LINE_BREAK or 28 <= first <= 31:
        return 0
    return space_at(data, place)


@compiled
def chunk_at(data: Bytes, place: int, rule: int) -> tuple[int, int]:
    """Where the first chunk at or after `place`, at which one ended, begins and ends.

    It begins at the end of the text if there is none.
    """
    if rule == SUBWORDS:
        return place, end_of_subwords(data, place)
    end = len(data)
    while place < end:
        width = space_at(data, place)
        if width == 0:
            return place, end_of_word(data, place)
        after = place + width
        if rule == TOKENISED:
            if data[place] == LINE_BREAK:
                return place, after
        else:
            after = end_of_run(data, place, width)
            single = place > 0 and after < end and after == place + 1 and data[place] == SPACE
            if not (single and space_at(data, after) == 0 and not space_before(data, place)):
                return place, after
        place = after
    return end, end


@compiled
def end_of_word(data: Bytes, place: int) -> int:
    """Where the next white space stands, or the text ends."""
    # Most bytes can be no beginning of white space.
    while place < len(data) and not (MAY_BE_SPACE[data[place]] and space_at(data, place) > 0):
        place += 1
    return place


@compiled
def end_of_subwords(data: Bytes, place: int) -> int:
    """Where the chunk of subwords that begins at `place` ends."""
    end = len(data)
    if data[place] == LINE_BREAK:
        return end_of_run(data, place, 1)
    while place < end and MAY_BE_SPACE[data[place]]:
        width = blank_at(data, place)
        if width == 0:
            break
        place += width
    while place < end and data[place] != LINE_BREAK:
        if MAY_BE_SPACE[data[place]] and blank_at(data, place) > 0:
            break
        place += 1
    return place


@compiled
def end_of_run(data: Bytes, place: int, width: int) -> int:
    """Where a run of the same white space, of so many bytes each, ends."""
    after = place + width
    while after + width <= len(data):
        for i in range(width):
            if data[after + i] != data[place + i]:
                return after
        after += width
    return after


@compiled
def space_before(data: Bytes, place: int) -> bool:
    """Whether the character that ends at `place` is white space."""
    begin = place - 1
    while begin > 0 and data[begin] & 0xC0 == 0x80:
        begin -= 1
    return space_at(data, begin) != 0
