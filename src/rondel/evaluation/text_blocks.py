"""A text of any size as encoded blocks: some whole passages together, or a part of a long one.

A passage is what is read from the zero state: a document, or each of its lines.

Shapes: N tokens of a block.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from rondel.evaluation.framing import LINE_BREAK, Framing
from rondel.text.cutting import cut_places
from rondel.text.stored import StoredText
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Ids, Spans

BLOCK = 1 << 16
"""Bytes of a text that are encoded together. A table has the rows of about so many."""
BORDERS = 1 << 16
"""Documents whose places are in memory at a time."""


class Place(NamedTuple):
    """A place in one of several texts."""

    text: int = 0
    """Which text, from 0."""
    document: int = 0
    """Which of the text's documents, from 0."""
    byte: int = 0
    character: int = 0
    line: int = 0
    """Line breaks before it."""
    within_passage: bool = False
    """Whether the passage that stands before it goes on here."""


class Part(NamedTuple):
    """A passage, or a part of one."""

    ids: Ids
    """The ids of the context, if the passage begins here, and those of the text."""
    context_length: int
    begins: bool
    ends: bool
    """Whether the passage begins and ends with this part."""

    @property
    def text_ids(self) -> Ids:
        """The ids of the text alone."""
        return self.ids[self.context_length :]


class Block(NamedTuple):
    """A stretch of a document, encoded."""

    text: str
    """Its characters, and the line break that is added to the document's end, if one is."""
    spans: Spans
    """Where its tokens stand in its text (N, 2)."""
    parts: list[Part]
    place: Place
    following: Place
    """Where the next block begins, which may be in another document."""
    begins: bool
    ends: bool
    """Whether a document begins and ends with it."""

    @property
    def tokens(self) -> int:
        """N."""
        return len(self.spans)

    @property
    def ids(self) -> Ids:
        """The ids of its text (N,)."""
        return np.concatenate([part.text_ids for part in self.parts])


class Blocks(Protocol):
    """Blocks that can be read again, from any place where one begins."""

    @property
    def size(self) -> int:
        """Bytes of all texts, or tokens."""

    def __iter__(self) -> Iterator[Block]: ...

    def beginning_at(self, place: Place) -> Iterator[Block]:
        """The blocks from a place on."""

    def bytes_before(self, place: Place) -> int:
        """Bytes of all texts before a place, or tokens."""


@dataclass(frozen=True)
class TextBlocks:
    """The blocks of stored texts, in order, from the beginning or from any place of an earlier one.

    ::

        blocks = TextBlocks([StoredText.of(text)], tokenizer, Framing())
        for block in blocks: ...
    """

    texts: list[StoredText]
    tokenizer: Tokenizer
    framing: Framing
    by_line: bool = False
    """Whether each line is a passage of its own."""
    with_spans: bool = True
    """Whether spans are wanted; otherwise they are 0."""

    def __iter__(self) -> Iterator[Block]:
        return self.beginning_at(Place())

    def beginning_at(self, place: Place) -> Iterator[Block]:
        """The blocks from a place on where one begins."""
        for number in range(place.text, len(self.texts)):
            here = place if number == place.text else Place(number)
            for begin, end in _documents(self.texts[number], here.document):
                if begin == end:
                    here = here._replace(document=here.document + 1)
                else:
                    here = yield from self._of_document(here, begin, end)

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return sum(text.size for text in self.texts)

    def bytes_before(self, place: Place) -> int:
        """Bytes of all texts before a place."""
        return sum(text.size for text in self.texts[: place.text]) + place.byte

    def _of_document(self, here: Place, begin: int, end: int) -> Generator[Block, None, Place]:
        """The blocks of a document from `here` on; returns the place after it."""
        text = self.texts[here.text]
        pieces = self._line_pieces if self.by_line else self._pieces
        for data, following, ends_passage in pieces(text, here, end):
            string, gap = (
                part.decode("utf-8", text.errors)
                for part in (data, text.read(here.byte + len(data), following))
            )
            whole = string + gap
            after = Place(
                here.text,
                here.document + (following == end),
                following,
                here.character + len(whole),
                here.line + whole.count(LINE_BREAK),
                not ends_passage,
            )
            if following == end:
                string = whole = self.framing.ended(string)
            parts, spans = self._encoded(string, here.within_passage, ends_passage)
            yield Block(whole, spans, parts, here, after, here.byte == begin, following == end)
            here = after
        return here

    def _pieces(self, text: StoredText, here: Place, end: int) -> Iterator[tuple[bytes, int, bool]]:
        """Bytes, where the next begin, and whether a passage ends there."""
        for data, following in cut_places(text, here.byte, end, self.tokenizer.cut):
            yield data, following, following == end

    def _line_pieces(
        self, text: StoredText, here: Place, end: int
    ) -> Iterator[tuple[bytes, int, bool]]:
        """The same: whole lines together, and those that are longer than a block in pieces."""
        begin, within = here.byte, here.within_passage
        while begin < end:
            data = text.read(begin, min(begin + text.block, end))
            whole = len(data) if begin + len(data) == end else data.rfind(b"\n") + 1
            if whole and not within:
                begin += whole
                yield data[:whole], begin, True
                continue
            stop = _end_of_line(text, begin, end)
            for piece, following in cut_places(text, begin, stop, self.tokenizer.cut):
                yield piece, following, following == stop
            begin, within = stop, False

    def _encoded(self, string: str, within: bool, ends: bool) -> tuple[list[Part], Spans]:
        if within or not self.with_spans:
            ids = self.tokenizer.encode(string)
            spans = self.tokenizer.spans(string) if self.with_spans else no_spans(len(ids))
            return [Part(ids, 0, begins=not within, ends=ends)], spans
        if not (self.by_line and ends):
            passage = self.framing.passage(self.tokenizer, string)
            return [Part(passage.ids, passage.context_length, True, ends)], passage.spans
        place, parts, placed = 0, [], []
        for line in _lines(string):
            passage = self.framing.passage(self.tokenizer, line)
            parts.append(Part(passage.ids, passage.context_length, True, True))
            placed.append(passage.spans + place)
            place += len(line)
        return parts, np.concatenate(placed)


def no_spans(count: int) -> Spans:
    """Spans (N, 2) of tokens of which it does not matter where they stand."""
    return np.zeros((count, 2), np.int64)


def _lines(text: str) -> list[str]:
    """The lines of a text, each with its line break."""
    *lines, last = text.split(LINE_BREAK)
    return [line + LINE_BREAK for line in lines] + ([last] if last else [])


def _documents(text: StoredText, first: int) -> Iterator[tuple[int, int]]:
    """Where the documents of a text begin and end, in bytes, from number `first` on."""
    if text.documents is None:
        if first == 0:
            yield 0, text.size
        return
    count = text.documents.stat().st_size // 8
    for number in range(first, count, BORDERS):
        some = min(BORDERS, count - number)
        places = np.fromfile(text.documents, "<i8", some + 1, offset=8 * number).tolist()
        if number + some == count:
            places.append(text.size)
        yield from itertools.pairwise(places)


def _end_of_line(text: StoredText, begin: int, end: int) -> int:
    """Where the line ends that goes on at a place: after its line break, or at `end`."""
    while begin < end:
        data = text.read(begin, min(begin + text.block, end))
        if found := data.find(b"\n") + 1:
            return begin + found
        begin += len(data)
    return end
