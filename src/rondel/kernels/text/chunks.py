"""Text between white space, numbered by a hash table; all of it over UTF-8 bytes.

A chunk is what `rondel.text.tokenizers.word` cuts a text into: a run of anything but white space,
or a run of the same white space, unless that is one space between two of the former; of a text that
is tokenised already, no white space but each line break.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.text.characters import Bytes, code_at

EMPTY = -1
LINE_BREAK = 0x0A
PRIME = np.uint64(0x100000001B3)
BASIS = np.uint64(0xCBF29CE484222325)
"""Of the hash FNV-1a (Fowler, Noll & Vo 1991)."""

Numbers = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


# Bytes that white space begins with: in ASCII, and the first of what is longer.
MAY_BE_SPACE = np.zeros(256, np.bool_)
MAY_BE_SPACE[[*range(9, 14), *range(28, 33), 0xC2, 0xE1, 0xE2, 0xE3]] = True


class Table(NamedTuple):
    """Different chunks, numbered from 0 on in order of appearance.

    Chunk n is `spelled[begins[n] : begins[n + 1]]`, and was met `counts[n]` times. `slots`, whose
    length is a power of two, holds numbers by hash.
    """

    slots: Numbers
    spelled: Bytes
    begins: Counts
    counts: Counts


@compiled
def space_at(data: Bytes, place: int) -> int:
    """How many bytes the white space at `place` has; 0 if it is none, as `str.isspace` says."""
    first = data[place]
    if first <= 0x20:
        return int(9 <= first <= 13 or 28 <= first <= 32)
    if first < 0xC2 or first > 0xE3:
        return 0
    code, after = code_at(data, place)
    if code in (0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000):
        return after - place
    return after - place if 0x2000 <= code <= 0x200A else 0


@compiled
def number_chunks(
    data: Bytes, start: int, table: Table, known: int, numbers: Numbers, tokenised: bool
) -> tuple[int, int, int]:
    """Number the chunks of a text from `start` on, adding new ones to the table.

    Returns the place that was reached, how many `numbers` were written, and how many chunks the
    table then has. It stops before the end where the table or `numbers` has no more room.
    """
    # The arrays by themselves: what is passed on as a tuple is counted anew at every call.
    slots, spelled, begins, counts = table.slots, table.spelled, table.begins, table.counts
    mask = np.int64(len(slots) - 1)
    place, end, written = start, len(data), 0
    while place < end:
        width = space_at(data, place)
        after = place + width
        key = BASIS
        if width == 0:
            while True:
                key = (key ^ np.uint64(data[after])) * PRIME
                after += 1
                # Most bytes can be no beginning of white space.
                if after == end or (MAY_BE_SPACE[data[after]] and space_at(data, after) > 0):
                    break
        elif tokenised:
            if data[place] != LINE_BREAK:
                place = after
                continue
            key = (key ^ np.uint64(LINE_BREAK)) * PRIME
        else:
            after = end_of_run(data, place, width)
            single = place > 0 and after < end and after == place + 1 and data[place] == 0x20
            if single and space_at(data, after) == 0 and not space_before(data, place):
                place = after
                continue
            for i in range(place, after):
                key = (key ^ np.uint64(data[i])) * PRIME
        if written == len(numbers):
            break
        slot = np.int64(key ^ (key >> np.uint64(32))) & mask
        number = np.int64(slots[slot])
        while number != EMPTY and not is_spelled(spelled, begins, number, data, place, after):
            slot = (slot + 1) & mask
            number = np.int64(slots[slot])
        if number == EMPTY:
            first = begins[known]
            if first + after - place > len(spelled) or known == len(counts):
                break
            spelled[first : first + after - place] = data[place:after]
            begins[known + 1] = first + after - place
            counts[known] = 0
            slots[slot] = known
            number = known
            known += 1
        counts[number] += 1
        numbers[written] = number
        written += 1
        place = after
    return place, written, known


@compiled
def is_spelled(
    spelled: Bytes, begins: Counts, number: int, data: Bytes, begin: int, end: int
) -> bool:
    """Whether a chunk of the table is what stands at a place."""
    first = begins[number]
    if begins[number + 1] - first != end - begin:
        return False
    for i in range(end - begin):  # noqa: SIM110 (Numba has no generators)
        if spelled[first + i] != data[begin + i]:
            return False
    return True


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


@compiled
def spell(
    numbers: Numbers, begins: Counts, ids_of_chunks: npt.NDArray[Any], ids: npt.NDArray[Any]
) -> None:
    """Write the ids of every chunk one after the other; of chunk n, from `begins[n]` on."""
    count = 0
    for number in numbers:
        for place in range(begins[number], begins[number + 1]):
            ids[count] = ids_of_chunks[place]
            count += 1
