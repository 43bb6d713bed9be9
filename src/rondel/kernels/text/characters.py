"""Characters of valid UTF-8: which there are, and their token ids.

Lone surrogates in their three bytes (`surrogatepass`) are characters like any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.text.eight_bytes import HIGH, ONES, eight_bytes

CARRIAGE_RETURN = np.uint64(0x0D0D0D0D0D0D0D0D)

Bytes = npt.NDArray[np.uint8]


@compiled
def code_at(data: Bytes, place: int) -> tuple[int, int]:
    """The code point of the character whose first byte is at `place`, and the place after it."""
    first = int(data[place])
    if first < 0x80:
        return first, place + 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | int(data[place + 1]) & 0x3F, place + 2
    second = int(data[place + 1]) & 0x3F
    third = int(data[place + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0xF) << 12 | second << 6 | third, place + 3
    fourth = int(data[place + 3]) & 0x3F
    return (first & 0x7) << 18 | second << 12 | third << 6 | fourth, place + 4


@compiled
def mark_characters(data: Bytes, seen: npt.NDArray[np.bool_]) -> None:
    """Set `seen` (0x110000,) to true at the code point of every character."""
    place, end = 0, len(data)
    while place < end:
        first = data[place]
        code, after = int(first), place + 1
        if first >= 0x80:
            code, after = code_at(data, place)
        if not seen[code]:  # writing for nothing would keep threads waiting for one another
            seen[code] = True
        place = after


@compiled
def look_up_characters(data: Bytes, id_of_code: npt.NDArray[Any], ids: npt.NDArray[Any]) -> int:
    """Write the id of every character, and return how many there are.

    Codes past the end of `id_of_code` have the id of its last entry. `ids` has room for as many as
    there are bytes.
    """
    place, end, count, last = 0, len(data), 0, len(id_of_code) - 1
    while place < end:
        first = int(data[place])
        if first < 0x80:
            ids[count] = id_of_code[min(first, last)]
            place += 1
        else:
            code, place = code_at(data, place)
            ids[count] = id_of_code[min(code, last)]
        count += 1
    return count


@compiled
def examine(data: Bytes) -> tuple[int, bool, bool]:
    """Count the characters of some bytes, and say whether they are UTF-8, and whether plain.

    A byte that is no UTF-8 counts as a character. Bytes are not plain if a carriage return or a
    zero is among them.
    """
    address, place, end = np.uint64(data.ctypes.data), 0, len(data)
    characters, valid, plain = 0, True, True
    while place < end:
        if place + 8 <= end:
            eight = eight_bytes(address + np.uint64(place))
            if eight & HIGH == np.uint64(0):
                returns = eight ^ CARRIAGE_RETURN
                # The highest bit of a byte that is zero, as all are below 0x80.
                if (eight - ONES | returns - ONES) & HIGH != np.uint64(0):
                    plain = False
                place += 8
                characters += 8
                continue
        while place < end and data[place] < 0x80:
            if data[place] == 0x00 or data[place] == 0x0D:
                plain = False
            place += 1
            characters += 1
        while place < end and data[place] >= 0x80:
            # Most are of two bytes.
            if 0xC2 <= data[place] < 0xE0 and place + 1 < end and data[place + 1] & 0xC0 == 0x80:
                width = 2
            else:
                width = width_at(data, place)
            if width == 0:
                valid = False
            place += max(width, 1)
            characters += 1
    return characters, valid, plain


@compiled
def width_at(data: Bytes, place: int) -> int:
    """How many bytes the character at `place` has; 0 if it is none of UTF-8 (surrogates are none).

    As in table 3-7 of the Unicode Standard.
    """
    first = data[place]
    if first < 0x80:
        return 1
    if first < 0xC2 or first > 0xF4:
        return 0
    width = 2 + int(first >= 0xE0) + int(first >= 0xF0)
    if place + width > len(data):
        return 0
    for i in range(1, width):
        if data[place + i] & 0xC0 != 0x80:
            return 0
    second = data[place + 1]
    if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
        return 0
    if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F):
        return 0
    return width
