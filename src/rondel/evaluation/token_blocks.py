"""Token ids of any number as blocks, with the text that they stand for.

Shapes: N tokens, D documents.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rondel.evaluation.text_blocks import BLOCK, BORDERS, Block, Part, Place, no_spans
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Ids

if TYPE_CHECKING:
    from rondel.data.store import TokenStore


@dataclass(frozen=True)
class TokenBlocks:
    """The blocks of token ids, each document read from the zero state; places are in tokens.

    ::

        TokenBlocks.of(tokenizer, ids)
        TokenBlocks.of_split(tokenizer, store, "validation")
    """

    tokenizer: Tokenizer
    size: int
    """N."""
    read: Callable[[int, int], Ids]
    """Gives the ids between two places."""
    documents: int = 1
    """D."""
    begins: Callable[[int, int], Ids] = lambda first, last: np.zeros(last - first, np.int64)
    """Where the documents between two numbers begin."""
    with_text: bool = True
    """Whether their text is wanted; otherwise it is empty."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, ids: Ids) -> TokenBlocks:
        """The blocks of ids in memory (N,)."""
        return cls(tokenizer, len(ids), lambda begin, end: ids[begin:end])

    @classmethod
    def of_split(
        cls, tokenizer: Tokenizer, store: TokenStore, name: str, *, with_text: bool = True
    ) -> TokenBlocks:
        """The blocks of a split of a run's text, with the documents that it has."""

        def read(begin: int, end: int) -> Ids:
            return store.read(name, begin, end)

        def begins(first: int, last: int) -> Ids:
            return np.array(store.document_begins(name)[first:last])

        count = store.splits[name].tokens
        if store.documents is None:
            return cls(tokenizer, count, read, with_text=with_text)
        return cls(tokenizer, count, read, store.documents[name], begins, with_text)

    def __iter__(self) -> Iterator[Block]:
        return self.beginning_at(Place())

    def beginning_at(self, place: Place) -> Iterator[Block]:
        """The blocks from a place on where one begins."""
        for number, begin, end in self._bounds(place.document):
            decoder = self.tokenizer.decoder()
            first = place.byte if number == place.document and place.within_passage else begin
            for at in range(first, end, BLOCK):
                after = min(at + BLOCK, end)
                ids = self.read(at, after).astype(np.int64)
                text = "".join(map(decoder.push, ids.tolist())) if self.with_text else ""
                spans = no_spans(len(ids))
                if at == begin:
                    spans[0, 1] = len(self.tokenizer.decode(ids[:1].tolist()))
                if after == end:
                    text += decoder.finish()
                yield Block(
                    text,
                    spans,
                    [Part(ids, 0, begins=at == begin, ends=after == end)],
                    Place(0, number, at, within_passage=at > begin),
                    Place(0, number + (after == end), after, within_passage=after < end),
                    begins=at == begin,
                    ends=after == end,
                )

    def bytes_before(self, place: Place) -> int:
        """Tokens before a place."""
        return place.byte

    def _bounds(self, first: int) -> Iterator[tuple[int, int, int]]:
        """The number, begin and end of each document that has tokens."""
        for number in range(first, self.documents, BORDERS):
            last = min(number + BORDERS, self.documents)
            places = self.begins(number, min(last + 1, self.documents)).tolist()
            places += [self.size] * (last == self.documents)
            for n, (begin, end) in enumerate(itertools.pairwise(places), number):
                if begin < end:
                    yield n, begin, end
