"""Counts the words of long texts block by block.

Compiled kernels count the different chunks of large blocks; Python splits these into words.
"""

from __future__ import annotations

import heapq
import itertools
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO

from rondel.text.chunk_table import ChunkTable
from rondel.text.parallel import is_for_kernels

WORDS_IN_MEMORY = 1_000_000
"""The most different words counted in memory; then the counts so far go to a file."""

Split = Callable[[str], list[str]]


class WordCounts:
    """How often each word occurs in the blocks of a text; several threads may add to it.

    Past `WORDS_IN_MEMORY` different words, the counts so far are sorted into a file, so that memory
    does not grow with the text.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self._counts: Counter[str] = Counter()
        self._sorted: list[IO[str]] = []
        self._lock = threading.Lock()
        self.is_empty = True
        """Whether nothing was counted."""
        self.has_words = False
        """Whether anything but white space was counted."""

    def add(self, chunks: Iterator[tuple[str, int]]) -> None:
        """Add the words of chunks, each given with its count."""
        with self._lock:
            counts, split = self._counts, self._split
            for chunk, count in chunks:
                self.is_empty = False
                self.has_words = self.has_words or not chunk.isspace()
                for word in split(chunk):
                    counts[word] = counts.get(word, 0) + count
            if len(self._counts) > WORDS_IN_MEMORY:
                self._sorted.append(_write(self._counts))
                self._counts.clear()

    def commonest(self, number: int, min_count: int, without: str) -> list[str]:
        """Return the `number` commonest of the words that occur at least `min_count` times.

        The commonest comes first. May be called only once, as it deletes the files of counts.
        """
        with ExitStack() as files:
            totals = iter(self._counts.items())
            if self._sorted:
                self._sorted.append(_write(self._counts))
                totals = _merge([files.enter_context(file) for file in self._sorted])
            common = ((-n, word) for word, n in totals if n >= min_count and word != without)
            return [word for _, word in heapq.nsmallest(number, common)]


class ChunkCounter:
    """Adds the words of block after block to a `WordCounts`; call `finish` after the last."""

    def __init__(
        self,
        counts: WordCounts,
        chunks_of: Callable[[str], Iterator[str]],
        rule: str,
    ) -> None:
        self._counts, self._chunks_of, self._rule = counts, chunks_of, rule
        self._chunks: ChunkTable | None = None

    def __call__(self, data: bytes) -> int:
        """Count a block; return how many bytes it has."""
        if not is_for_kernels(data):
            self._count_in_python(data)
            return len(data)
        if self._chunks is None:
            self._chunks = ChunkTable(self._rule)
        if rest := self._chunks.count(data, self._counts.add):
            self._count_in_python(rest)
        return len(data)

    def finish(self) -> None:
        """Add what the table has counted."""
        if self._chunks is not None:
            self._chunks.give(self._counts.add)

    def _count_in_python(self, data: bytes) -> None:
        chunks = Counter(self._chunks_of(data.decode("utf-8", "surrogatepass")))
        self._counts.add(iter(chunks.items()))


def _merge(files: list[IO[str]]) -> Iterator[tuple[str, int]]:
    """Add up the counts in files of sorted words."""
    pairs = heapq.merge(*[map(json.loads, file) for file in files])
    for word, same in itertools.groupby(pairs, key=lambda pair: pair[0]):
        yield word, sum(count for _, count in same)


def _write(counts: Counter[str]) -> IO[str]:
    """Write words and counts, sorted by word, to a file that is deleted when closed."""
    file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115
    file.writelines(json.dumps(pair) + "\n" for pair in sorted(counts.items()))
    file.seek(0)
    return file
