"""The chunks of a text, numbered by a hash table; all of it over UTF-8 bytes.

What a chunk is: see `rondel.kernels.text.chunk_borders`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.text.characters import Bytes
from rondel.kernels.text.chunk_borders import LINE_BREAK, SPACE, SUBWORDS, chunk_at
from rondel.kernels.text.eight_bytes import HIGH, ONES, eight_bytes, trailing_zeros

U8 = np.uint64(8)
EMPTY = np.uint64(0)
"""The key of an empty slot: no chunk's, since every key holds a length."""
SHORT = 7
"""Bytes of a chunk whose key holds all of them, and their number in the eighth."""
LONG = np.uint64(0xFF << 56)
"""Set in the key of every longer chunk, which is a hash."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ over the golden ratio, as in Fibonacci hashing (Knuth, volume 3, 6.4)."""
ABOVE_SPACE = ONES * np.uint64(0x21)

TOGETHER = 1 << 11
"""Chunks that are found, then looked up."""

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]


class Table(NamedTuple):
    """Different chunks, numbered from 0 on in order of appearance.

    Chunk n is `spelled[begins[n] : begins[n + 1]]`, and was met `counts[n]` times. `slots` (S, 2),
    where S is a power of two, holds keys and numbers by hash.
    """

    slots: Keys
    spelled: Bytes
    begins: Counts
    counts: Counts


@compiled
def number_chunks(
    data: Bytes, start: int, table: Table, known: int, numbers: Numbers, rule: int
) -> tuple[int, int, int]:
    """Number the chunks of a text from `start` on, adding new ones to the table.

    Returns the place that was reached, how many `numbers` were written, and how many chunks the
    table then has. It stops before the end where the table or `numbers` has no more room.
    """
    # The arrays by themselves: what is passed on as a tuple is counted anew at every call.
    slots, spelled, begins, counts = table.slots, table.spelled, table.begins, table.counts
    found, places = np.empty(TOGETHER, np.uint64), np.empty((TOGETHER, 2), np.int64)
    mask = np.uint64(len(slots) - 1)
    place, written = start, 0
    while place < len(data):
        # Found first and looked up after: so look-ups wait for memory together.
        count, reached = find_chunks(data, place, found, places, rule)
        for i in range(min(count, len(numbers) - written)):
            key, begin, after = found[i], places[i, 0], places[i, 1]
            slot = ((key * GOLDEN) >> np.uint64(32)) & mask
            while slots[slot, 0] != EMPTY:
                if slots[slot, 0] == key and (
                    key < LONG
                    or is_spelled(spelled, begins, np.int64(slots[slot, 1]), data, begin, after)
                ):
                    break
                slot = (slot + np.uint64(1)) & mask
            if slots[slot, 0] == EMPTY:
                first = begins[known]
                if first + after - begin > len(spelled) or known == len(counts):
                    return begin, written, known
                for at in range(begin, after):
                    spelled[first + at - begin] = data[at]
                begins[known + 1] = first + after - begin
                counts[known] = 0
                slots[slot, 0], slots[slot, 1] = key, known
                known += 1
            number = np.int64(slots[slot, 1])
            counts[number] += 1
            numbers[written] = number
            written += 1
            place = after
        if written == len(numbers) and place < reached:
            break
        place = reached
    return place, written, known


@compiled
def find_chunks(data: Bytes, place: int, keys: Keys, places: Places, rule: int) -> tuple[int, int]:
    """Find the chunks from a place on: their keys (N,), and where they begin and end (N, 2).

    Returns how many there were, N at most, and the place that was reached.
    """
    address, end, count = np.uint64(data.ctypes.data), len(data), 0
    while place < end and count < len(keys):
        if rule != SUBWORDS and data[place] == SPACE and stands_alone(data, place):
            place += 1
        begin, after = place, visible_chunk(address, place, end, rule)
        if begin == after:
            begin, after = chunk_at(data, place, rule)
            if begin == end:
                return count, end
        keys[count] = key_of(data, address, begin, after)
        places[count, 0], places[count, 1] = begin, after
        count += 1
        place = after
    return count, place


@compiled
def stands_alone(data: Bytes, place: int) -> bool:
    """Whether visible characters of ASCII are on either side of a place."""
    if place == 0 or place + 1 == len(data):
        return False
    before, following = data[place - 1], data[place + 1]
    return bool(SPACE < before < 0x7F and SPACE < following < 0x7F)


@compiled
def visible_chunk(address: int, place: int, end: int, rule: int) -> int:
    """Where the chunk at a place ends, if that is seen at a glance, else the place itself.

    It is for visible characters of ASCII (before them a space, of subwords) that a space or a line
    break follows.
    """
    at = place
    while at + 8 <= end:
        eight = eight_bytes(np.uint64(address) + np.uint64(at))
        # The highest bit of each byte that is below "!" or above ASCII: of the first such byte, and
        # perhaps of others after it.
        others = ((eight - ABOVE_SPACE) & ~eight | eight) & HIGH
        if rule == SUBWORDS and at == place and eight & np.uint64(0xFF) == np.uint64(SPACE):
            others &= ~np.uint64(0xFF)
            if others & np.uint64(0xFF00):
                return place  # a second blank, or what is not ASCII
        length = trailing_zeros(others) >> np.uint64(3)
        if length < U8:
            following = (eight >> (length * U8)) & np.uint64(0xFF)
            if following == np.uint64(SPACE) or following == np.uint64(LINE_BREAK):
                return at + int(length)
            return place
        at += 8
    return place


@compiled
def key_of(data: Bytes, address: int, begin: int, after: int) -> Any:
    """The key of a chunk: what is in it, if it is short, else a hash of that."""
    place, length = np.uint64(address) + np.uint64(begin), np.uint64(after - begin)
    if after - begin > SHORT:
        key = np.uint64(0)
        for at in range(begin, after - 8, 8):
            key = (key ^ eight_bytes(np.uint64(address) + np.uint64(at))) * GOLDEN
            key ^= key >> np.uint64(29)
        key = (key ^ eight_bytes(place + length - U8)) * GOLDEN
        return key ^ (key >> np.uint64(29)) | LONG
    held = np.uint64(0)
    if begin + 8 <= len(data):
        held = eight_bytes(place) & ((np.uint64(1) << (length * U8)) - np.uint64(1))
    else:
        for i in range(after - begin):
            held |= np.uint64(data[begin + i]) << (np.uint64(i) * U8)
    return held | length << np.uint64(56)


@compiled
def is_spelled(
    spelled: Bytes, begins: Counts, number: int, data: Bytes, begin: int, end: int
) -> bool:
    """Whether a long chunk of the table is what stands at a place."""
    first, length = begins[number], end - begin
    if begins[number + 1] - first != length:
        return False
    known, met = np.uint64(spelled.ctypes.data + first), np.uint64(data.ctypes.data + begin)
    for at in range(0, length - 8, 8):
        if eight_bytes(known + np.uint64(at)) != eight_bytes(met + np.uint64(at)):
            return False
    last = np.uint64(length - 8)
    return bool(eight_bytes(known + last) == eight_bytes(met + last))


@compiled
def count_ids(numbers: Numbers, begins: Counts) -> int:
    """How many ids the chunks have, of which chunk n has those from `begins[n]` on."""
    count = 0
    for number in numbers:
        count += begins[number + 1] - begins[number]
    return count


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
