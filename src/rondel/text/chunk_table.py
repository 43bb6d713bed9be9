"""The different chunks of a text in UTF-8: numbered, counted and encoded by compiled kernels.

Python sees each different chunk once for every table that fills up.
"""

from __future__ import annotations

import functools
import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rondel.text.parallel import is_for_kernels

if TYPE_CHECKING:
    from rondel.kernels.text.chunks import Table

Ids = npt.NDArray[np.integer[Any]]

CHUNKS = 1 << 19
"""The most different chunks in a table, a power of two; a full table is emptied."""
CHUNK_BYTES = 1 << 25
"""The most bytes of their spellings; a block with a longer chunk is split in Python."""


class ChunkTable:
    """Numbers different chunks, at most `room` of them (0: `CHUNKS`).

    `rule` is the rule that finds the ends of chunks: a name in `rondel.kernels.text.chunk_borders`.
    """

    def __init__(self, rule: str, room: int = 0) -> None:
        from rondel.kernels.text import chunk_borders
        from rondel.kernels.text.chunks import Table

        room = room or CHUNKS
        self.table: Table = Table(
            slots=np.zeros((2 * room, 2), np.uint64),
            spelled=np.empty(CHUNK_BYTES, np.uint8),
            begins=np.zeros(room + 1, np.int64),
            counts=np.zeros(room, np.int64),
        )
        self.known = 0
        self._rule: int = getattr(chunk_borders, rule)

    def clear(self) -> None:
        """Forget all chunks."""
        self.table.slots.fill(0)
        self.known = 0

    def numbers(self, data: bytes, place: int) -> tuple[Any, int]:
        """Number the chunks from `place` on; return the numbers and the place reached.

        That is before the end of `data` if the table is full.
        """
        from rondel.kernels.text.chunks import number_chunks

        numbers = np.empty((len(data) - place) // 2 + 16, np.int32)
        reached, written, self.known = number_chunks(
            np.frombuffer(data, np.uint8), place, self.table, self.known, numbers, self._rule
        )
        return numbers[:written], reached

    def count(self, data: bytes, keep: Callable[[Iterator[tuple[str, int]]], None]) -> bytes:
        """Count the chunks of a block.

        When the table is full, pass its counts to `keep` and empty it. Return the rest of the
        block from the first chunk that is too long for an empty table; usually nothing.
        """
        place = 0
        while place < len(data):
            _, reached = self.numbers(data, place)
            if reached == place:
                if not self.known:
                    return data[place:]
                self.give(keep)
            place = reached
        return b""

    def give(self, keep: Callable[[Iterator[tuple[str, int]]], None]) -> None:
        """Pass the chunks and their counts to `keep`, and forget them."""
        counts = self.table.counts[: self.known].tolist()
        keep(zip(self.spellings(0), counts, strict=True))
        self.clear()

    def spellings(self, first: int) -> Iterator[str]:
        """Yield the chunks from number `first` on."""
        begins = self.table.begins[first : self.known + 1].tolist()
        data = self.table.spelled[begins[0] : begins[-1]].tobytes()
        for begin, end in itertools.pairwise(begins):
            yield data[begin - begins[0] : end - begins[0]].decode("utf-8", "surrogatepass")


class ChunkEncoder:
    """Encodes blocks of text, each different chunk once.

    `ids_of` returns the ids of each of several chunks; `encode_text` encodes a block that the table
    has no room for; `rule` is that of `ChunkTable`.
    """

    def __init__(
        self,
        ids_of: Callable[[Iterator[str]], Iterable[Sequence[int]]],
        encode_text: Callable[[str], Ids],
        rule: str,
    ) -> None:
        self._ids_of, self._encode_text, self._rule = ids_of, encode_text, rule
        self._ids, self._begins = array("i"), array("q", [0])

    def __call__(self, data: bytes) -> Ids:
        """Return the token ids (N,) of a block, int32."""
        if not is_for_kernels(data):
            return self._encode_text(data.decode("utf-8", "surrogatepass"))
        parts, place = [], 0
        while place < len(data):
            known = self._chunks.known
            numbers, reached = self._chunks.numbers(data, place)
            if reached == place:
                if not known:  # one chunk is longer than the table
                    parts.append(self._encode_text(data[place:].decode("utf-8", "surrogatepass")))
                    break
                self._clear()
                continue
            parts.append(self._spelled(numbers, known))
            place = reached
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    @functools.cached_property
    def _chunks(self) -> ChunkTable:
        return ChunkTable(self._rule)

    def _clear(self) -> None:
        self._chunks.clear()
        self._ids, self._begins = array("i"), array("q", [0])

    def _spelled(self, numbers: Any, known: int) -> Ids:
        from rondel.kernels.text.chunks import count_ids, spell

        for ids_of_chunk in self._ids_of(self._chunks.spellings(known)):
            self._ids.extend(ids_of_chunk)
            self._begins.append(len(self._ids))
        begins = np.frombuffer(self._begins, np.int64)
        ids = np.empty(count_ids(numbers, begins), np.int32)
        if len(ids):
            spell(numbers, begins, np.frombuffer(self._ids, np.int32), ids)
        return ids
