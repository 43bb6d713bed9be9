"""The documents of a stored text, and how many chunks each is read in.

Shapes: N tokens, D documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.data.store import Ids, TokenStore

BLOCK = 1 << 20
"""Documents looked at together."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """The documents of a stored text (N,): where each begins, in tokens, (D,) in order."""

    tokens: Ids
    begins: Ids

    @classmethod
    def of(cls, store: TokenStore, name: str) -> Documents | None:
        """Those of one split of a store; `None` if its text has no borders."""
        if store.documents is None:
            return None
        return cls(store.tokens(name), store.document_begins(name))

    def __len__(self) -> int:
        return len(self.begins)

    def bounds(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Where the documents of these numbers begin and end, in tokens."""
        last = len(self.begins) - 1
        ends = self.begins[np.minimum(numbers + 1, last)].astype(np.int64)
        ends[numbers == last] = len(self.tokens)
        return self.begins[numbers].astype(np.int64), ends

    def chunks(self, numbers: Numbers, seq_length: int) -> Numbers:
        """How many chunks each of these documents is read in."""
        begins, ends = self.bounds(numbers)
        chunks_D: Numbers = (np.maximum(ends - begins - 1, 0) + seq_length - 1) // seq_length
        return chunks_D

    def all_chunks(self, seq_length: int) -> int:
        """How many chunks there are in all."""
        blocks = blocks_of(len(self))
        return sum(int(self.chunks(numbers, seq_length).sum()) for numbers in blocks)


def blocks_of(count: int) -> Iterator[Numbers]:
    """The numbers below `count`, some together."""
    for begin in range(0, count, BLOCK):
        yield np.arange(begin, min(begin + BLOCK, count))
