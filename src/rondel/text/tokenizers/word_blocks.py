"""Words of long texts: counted and encoded block by block, the compiled way where that pays.

A compiled table numbers the different stretches between white space (`rondel.kernels.text.chunks`);
Python splits each of them into words once.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import json
import tempfile
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from rondel.text.parallel import is_for_kernels
from rondel.text.tokenizers.base import Ids

if TYPE_CHECKING:
    from rondel.kernels.text.chunks import Table

CHUNKS = 1 << 19
"""Different chunks that a table has room for, a power of two; then it begins anew."""
CHUNK_BYTES = 1 << 25
"""Room for their spellings; a block with a longer chunk is split in Python."""
WORDS_IN_MEMORY = 1_000_000
"""Different words that are counted in memory; then the counts so far go to a file."""

Split = Callable[[str], list[str]]


class ChunkTable:
    """Different chunks by number, with room for `CHUNKS` of them."""

    def __init__(self, tokenised: bool) -> None:
        from rondel.kernels.text.chunks import EMPTY, Table

        self._empty = EMPTY
        self.table: Table = Table(
            slots=np.full(4 * CHUNKS, EMPTY, np.int32),
            spelled=np.empty(CHUNK_BYTES, np.uint8),
            begins=np.zeros(CHUNKS + 1, np.int64),
            counts=np.zeros(CHUNKS, np.int64),
        )
        self.known = 0
        self._tokenised = tokenised

    def clear(self) -> None:
        """Forget all of them."""
        self.table.slots.fill(self._empty)
        self.known = 0

    def numbers(self, data: bytes, place: int) -> tuple[Any, int]:
        """Numbers of the chunks from `place` on, and how far the table or its answer had room."""
        from rondel.kernels.text.chunks import number_chunks

        numbers = np.empty((len(data) - place) // 2 + 16, np.int32)
        reached, written, self.known = number_chunks(
            np.frombuffer(data, np.uint8), place, self.table, self.known, numbers, self._tokenised
        )
        return numbers[:written], reached

    def spellings(self, first: int) -> Iterator[str]:
        """The chunks from number `first` on."""
        spelled, begins = self.table.spelled, self.table.begins
        for number in range(first, self.known):
            data = spelled[begins[number] : begins[number + 1]].tobytes()
            yield data.decode("utf-8", "surrogatepass")


class ChunkEncoder:
    """Encodes block after block, by the ids that each different chunk has.

    `ids_of` gives those of a chunk; `otherwise` encodes a block that the table has no room for.
    `tokenised` says what a chunk is: see `rondel.kernels.text.chunks`.
    """

    def __init__(
        self,
        ids_of: Callable[[str], list[int]],
        otherwise: Callable[[str], Ids],
        tokenised: bool = False,
    ) -> None:
        self._ids_of, self._otherwise, self._tokenised = ids_of, otherwise, tokenised
        self._ids, self._begins = array("i"), array("q", [0])

    def __call__(self, data: bytes) -> Ids:
        """Token ids (N,) of a block, int32."""
        if not is_for_kernels(data):
            return self._otherwise(data.decode("utf-8", "surrogatepass"))
        parts, place = [], 0
        while place < len(data):
            known = self._chunks.known
            numbers, reached = self._chunks.numbers(data, place)
            if reached == place:
                if not known:  # one chunk is longer than the table
                    parts.append(self._otherwise(data[place:].decode("utf-8", "surrogatepass")))
                    break
                self._clear()
                continue
            parts.append(self._spelled(numbers, known))
            place = reached
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    @functools.cached_property
    def _chunks(self) -> ChunkTable:
        return ChunkTable(self._tokenised)

    def _clear(self) -> None:
        self._chunks.clear()
        self._ids, self._begins = array("i"), array("q", [0])

    def _spelled(self, numbers: Any, known: int) -> Ids:
        from rondel.kernels.text.chunks import spell

        for chunk in self._chunks.spellings(known):
            self._ids.extend(self._ids_of(chunk))
            self._begins.append(len(self._ids))
        begins = np.frombuffer(self._begins, np.int64)
        ids = np.empty(int(np.diff(begins)[numbers].sum()), np.int32)
        if len(ids):
            spell(numbers, begins, np.frombuffer(self._ids, np.int32), ids)
        return ids


class WordCounts:
    """How often each word comes in the blocks of a text; from several threads at a time.

    Past `WORDS_IN_MEMORY` different words, the counts so far are sorted into a file, so that memory
    does not grow with the text.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self._counts: Counter[str] = Counter()
        self._sorted: list[IO[str]] = []
        self._lock = threading.Lock()
        self.is_empty = True
        """Whether nothing was counted at all."""
        self.has_words = False
        """Whether anything but white space was."""

    def add(self, chunks: Iterator[tuple[str, int]]) -> None:
        """Count the words of chunks that come so many times."""
        with self._lock:
            for chunk, count in chunks:
                self.is_empty = False
                self.has_words = self.has_words or not chunk.isspace()
                for word in self._split(chunk):
                    self._counts[word] += count
            if len(self._counts) > WORDS_IN_MEMORY:
                self._sorted.append(_written(self._counts))
                self._counts.clear()

    def commonest(self, number: int, min_count: int, without: str) -> list[str]:
        """The words that come `min_count` times at least, the commonest first, so many of them.

        To be asked once: files are gone after it.
        """
        with ExitStack() as files:
            totals = iter(self._counts.items())
            if self._sorted:
                self._sorted.append(_written(self._counts))
                totals = _merged([files.enter_context(file) for file in self._sorted])
            common = ((-n, word) for word, n in totals if n >= min_count and word != without)
            return [word for _, word in heapq.nsmallest(number, common)]


class ChunkCounter:
    """Counts the words of block after block into a `WordCounts`; `finish` after the last."""

    def __init__(
        self,
        counts: WordCounts,
        chunks_of: Callable[[str], Iterator[str]],
        tokenised: bool = False,
    ) -> None:
        self._counts, self._chunks_of, self._tokenised = counts, chunks_of, tokenised
        self._chunks: ChunkTable | None = None

    def __call__(self, data: bytes) -> int:
        """Count a block; how many bytes it had."""
        if not is_for_kernels(data):
            self._in_python(data)
            return len(data)
        if self._chunks is None:
            self._chunks = ChunkTable(self._tokenised)
        place = 0
        while place < len(data):
            _, reached = self._chunks.numbers(data, place)
            if reached == place:
                if not self._chunks.known:
                    self._in_python(data[place:])
                    break
                self.finish()
            place = reached
        return len(data)

    def finish(self) -> None:
        """Count what the table holds."""
        if self._chunks is not None:
            counts = self._chunks.table.counts[: self._chunks.known].tolist()
            self._counts.add(zip(self._chunks.spellings(0), counts, strict=True))
            self._chunks.clear()

    def _in_python(self, data: bytes) -> None:
        chunks = Counter(self._chunks_of(data.decode("utf-8", "surrogatepass")))
        self._counts.add(iter(chunks.items()))


def _merged(files: list[IO[str]]) -> Iterator[tuple[str, int]]:
    """The sums of the counts in files of words in order."""
    pairs = heapq.merge(*[map(json.loads, file) for file in files])
    for word, same in itertools.groupby(pairs, key=lambda pair: pair[0]):
        yield word, sum(count for _, count in same)


def _written(counts: Counter[str]) -> IO[str]:
    """A file, gone when it is closed, of words and counts in order of the words."""
    file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115
    file.writelines(json.dumps(pair) + "\n" for pair in sorted(counts.items()))
    file.seek(0)
    return file
