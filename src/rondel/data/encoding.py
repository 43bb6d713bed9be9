"""Encoding documents: many short ones at a time, long ones in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from rondel.data.store import Encoded, Ids
from rondel.text.cutting import cut_blocks
from rondel.text.parallel import in_order
from rondel.text.stored import StoredText
from rondel.text.tokenizers import Tokenizer

Group = list[tuple[bytes, bool]]
"""Pieces of documents in UTF-8, and whether a document begins with each."""


def begins_of_documents(text: StoredText) -> npt.NDArray[np.int64]:
    """Return where the documents of a text begin, in bytes (D,), as a read-only memory map."""
    if text.documents is None:
        raise ValueError("the text has no document boundaries")
    return np.memmap(text.documents, "<i8", "r")


def encode_documents(
    text: StoredText, begin: int, end: int, tokenizer: Tokenizer
) -> Iterator[Encoded]:
    """Yield the tokens of the documents between two places in bytes, each encoded separately."""

    def make() -> Callable[[Group], Encoded]:
        encode = tokenizer.block_encoder()

        def work(group: Group) -> Encoded:
            parts: list[Ids] = [encode(piece) for piece, _ in group]
            places = np.cumsum([0, *map(len, parts)])[:-1]
            firsts = np.array([is_first for _, is_first in group], bool)
            return Encoded(np.concatenate(parts), places[firsts])

        return work

    yield from in_order(make, _groups(text, begin, end, tokenizer))


def _groups(text: StoredText, begin: int, end: int, tokenizer: Tokenizer) -> Iterator[Group]:
    """Yield the documents between two places, about a block of bytes at a time."""
    begins = begins_of_documents(text)
    number, last = (int(i) for i in np.searchsorted(begins, [begin, end]))
    while number < last:
        place = int(begins[number])
        following = int(np.searchsorted(begins, place + text.block, side="right"))
        following = min(max(number + 1, following - 1), last)
        stop = int(begins[following]) if following < last else end
        if stop - place > text.block:
            for i, piece in enumerate(cut_blocks(text, place, stop, tokenizer.cut)):
                yield [(piece, i == 0)]
        else:
            data = text.read(place, stop)
            bounds = [*(begins[number:following] - place).tolist(), stop - place]
            yield [(data[first:after], True) for first, after in itertools.pairwise(bounds)]
        number = following
