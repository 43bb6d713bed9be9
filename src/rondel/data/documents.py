"""The documents of a stored text, and the number of chunks of each.

Shapes: N tokens, D documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.data.store import Ids, TokenStore

BLOCK = 1 << 20
"""Documents processed at a time."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """The documents of a stored text (N,): `begins` (D,) has the first token of each, in order."""

    tokens: Ids
    begins: Ids

    @classmethod
    def of(cls, store: TokenStore, name: str) -> Documents | None:
        """Return the documents of a split; `None` if its text has no document boundaries."""
        if store.documents is None:
            return None
        return cls(store.tokens(name), store.document_begins(name))

    def __len__(self) -> int:
        return len(self.begins)

    def bounds(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Return where the documents with these numbers begin and end, in tokens."""
        last = len(self.begins) - 1
        ends = self.begins[np.minimum(numbers + 1, last)].astype(np.int64)
        ends[numbers == last] = len(self.tokens)
        return self.begins[numbers].astype(np.int64), ends

    def chunks(self, numbers: Numbers, seq_length: int) -> Numbers:
        """Return the number of chunks of each of these documents."""
        begins, ends = self.bounds(numbers)
        chunks_D: Numbers = (np.maximum(ends - begins - 1, 0) + seq_length - 1) // seq_length
        return chunks_D

    def all_chunks(self, seq_length: int) -> int:
        """Return the number of chunks of all documents."""
        blocks = blocks_of(len(self))
        return sum(int(self.chunks(numbers, seq_length).sum()) for numbers in blocks)


def blocks_of(count: int) -> Iterator[Numbers]:
    """Yield the numbers below `count` in blocks."""
    for begin in range(0, count, BLOCK):
        yield np.arange(begin, min(begin + BLOCK, count))
