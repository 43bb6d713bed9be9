"""Characters of valid UTF-8: which there are, and their token ids.

Lone surrogates in their three bytes (`surrogatepass`) are characters like any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled

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
