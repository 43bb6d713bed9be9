"""The rows of a document's table, as its blocks and the values of its tokens come.

A row is complete once a token of a later unit has its value, or the document ends: by then the end
of a word has been moved to it (see the module `grouping`).

Shapes: N tokens, U units (rows), K measured values.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.evaluation.grouping import LINE_BREAK, Grouper, Grouping, code_points
from rondel.evaluation.measures import Measured
from rondel.evaluation.text_blocks import BLOCK, Block, Place
from rondel.text.stored import StoredText
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Ids, Spans

Columns = dict[str, npt.NDArray[Any]]
"""A table: arrays of equal length by column name, as `pandas.DataFrame` takes them."""

NATS_PER = {"bits": math.log(2), "nats": 1.0}
LONG = 1 << 20
"""Characters of a row's text from which it is read again from the document where it is written."""
UNKNOWN = -1

UNIT = np.dtype(
    [(name, np.int64) for name in ("begin", "end", "line", "tokens", "scored", "unknown")]
    + [(name, np.float64) for name in ("nats", "moved", "entropy", "worst_rank")]
)
"""An open unit: `moved` is the surprisal of its end, which the next token's covers."""


class Excerpt:
    """A long stretch of a stored text, in place of a string of it."""

    def __init__(self, text: StoredText, begin: int, end: int) -> None:
        self._text, self._begin, self._end = text, begin, end

    def pieces(self) -> Iterator[str]:
        """Its characters, some at a time."""
        for begin in range(self._begin, self._end, BLOCK):
            yield self._text.text(begin, min(begin + BLOCK, self._end))

    def __str__(self) -> str:
        return "".join(self.pieces())


@dataclass
class _Waiting:
    """A block with tokens that have no value yet: those from number `measured` on."""

    block: Block
    ids: Ids
    grouping: Grouping
    before: Grouper
    """How far the grouping had come before the block."""
    measured: int


@dataclass(frozen=True)
class RowsState:
    """How far the rows of a document have come, in values that JSON has."""

    position: int
    first_open: int
    open_units: list[list[float]]
    grouper: dict[str, Any]
    measured: int
    """Tokens of the block that have their values."""


class Rows:
    """Makes the rows of one document; `prefix` stands before the names of its figures.

    ::

        rows = Rows(text, tokenizer, "word", "bits")
        rows.add(block)
        table = rows.measured(values_KN)
        last = rows.finish()
    """

    def __init__(
        self, text: StoredText, tokenizer: Tokenizer, by: str, unit: str, prefix: str = ""
    ) -> None:
        self._text, self._tokenizer, self._by = text, tokenizer, by
        self._scale = NATS_PER[unit]
        self._surprisal, self._entropy = f"{prefix}surprisal_{unit}", f"{prefix}entropy_{unit}"
        self._grouper = Grouper(by)
        self._waiting: deque[_Waiting] = deque()
        self._already_measured = 0
        self._position = 0
        # The units from that of the last measured token on.
        self._first_open, self._open_U = 0, np.zeros(0, UNIT)
        # The characters from `_kept_begin` on, which the texts of rows are taken from.
        self._kept, self._kept_begin, self._end = "", 0, 0

    @property
    def place(self) -> Place | None:
        """Where the first block begins that has tokens without a value, if one does."""
        return self._waiting[0].block.place if self._waiting else None

    def state(self) -> RowsState:
        """How far the rows have come, for `resume` at `place`, or at the next block."""
        front = self._waiting[0] if self._waiting else None
        return RowsState(
            self._position,
            self._first_open,
            [list(unit) for unit in self._open_U.tolist()],
            dataclasses.asdict(front.before if front else self._grouper),
            front.measured if front else 0,
        )

    def resume(self, state: RowsState, place: Place) -> None:
        """Continue from a state, with the block that begins at `place` as the next."""
        self._position, self._first_open = state.position, state.first_open
        self._open_U = np.array([tuple(unit) for unit in state.open_units], UNIT)
        self._grouper, self._already_measured = Grouper(**state.grouper), state.measured
        self._end = self._kept_begin = place.character
        begin = int(self._open_U["begin"][0]) if len(self._open_U) else place.character
        if place.character - begin <= LONG:
            self._kept, self._kept_begin = self._text.text(begin, place.character), begin

    def add(self, block: Block) -> None:
        """Add a block; the values of its tokens are yet to come."""
        before = dataclasses.replace(self._grouper)
        grouping = self._grouper.group(self._tokenizer, block.text, block.spans)
        waiting = _Waiting(block, block.ids, grouping, before, self._already_measured)
        self._waiting.append(waiting)
        self._already_measured = 0
        if not self._kept:
            self._kept_begin = block.place.character
        self._end = block.following.character
        self._kept += block.text[: self._end - block.place.character]
        if self._by != "token":
            self._open(block, grouping)

    def measured(self, values_KN: Measured) -> Columns:
        """The rows that are complete with the values (K, n) of the next n tokens."""
        tables, begin = [], 0
        while self._waiting:
            front = self._waiting[0]
            count = min(front.block.tokens - front.measured, values_KN.shape[1] - begin)
            tokens = slice(front.measured, front.measured + count)
            values = values_KN[:, begin : begin + count]
            if self._by == "token":
                tables.append(self._token_rows(front, tokens, values))
            elif count:
                self._count(front, tokens, values)
                # Only the last of their units may have tokens to come.
                tables.append(
                    self._close(int(front.grouping.unit_N[tokens][-1]) - self._first_open)
                )
            begin += count
            front.measured += count
            if front.measured < front.block.tokens:
                break
            self._waiting.popleft()
        self._forget()
        return joined(tables)

    def finish(self) -> Columns:
        """The rows that are complete because the document has ended."""
        return {} if self._by == "token" else self._close(len(self._open_U))

    def _token_rows(self, waiting: _Waiting, tokens: slice, values_KN: Measured) -> Columns:
        block, ids = waiting.block, waiting.ids[tokens].tolist()
        nats, entropy, rank, _ = values_KN
        spans = np.minimum(block.spans[tokens] + block.place.character, self._end)
        return {
            **self._places(_lines(block, block.spans[tokens, 0]), spans),
            "token": object_array([self._tokenizer.token(i) for i in ids]),
            self._surprisal: nats / self._scale,
            self._entropy: entropy / self._scale,
            "rank": _as_integers(rank),
            "unknown": np.array([i == self._tokenizer.unknown_id for i in ids], np.int64),
        }

    def _open(self, block: Block, grouping: Grouping) -> None:
        """Open the units that begin in a block, and note which ones end in it."""
        known = self._first_open + len(self._open_U)
        begins_U = grouping.begins_U[max(0, known - grouping.first) :]
        if known == 0 and not len(begins_U):
            begins_U = np.zeros(1, np.int64)  # white space belongs to a word that is yet to begin
        new_U = np.zeros(len(begins_U), UNIT)
        new_U["end"], new_U["worst_rank"] = UNKNOWN, np.nan
        self._open_U = np.concatenate([self._open_U, new_U])
        self._set(grouping.first, "begin", grouping.begins_U + block.place.character)
        self._set(grouping.first, "line", _lines(block, grouping.begins_U))
        if known == 0 and not len(grouping.begins_U):
            self._set(0, "begin", np.array([block.place.character]))
            self._set(0, "line", np.array([block.place.line + 1]))
        self._set(grouping.first_ended, "end", grouping.ends_U + block.place.character)

    def _set(self, first: int, name: str, values_U: npt.NDArray[np.int64]) -> None:
        """Set a value of the units from number `first` on, as far as they are open."""
        values_U = values_U[max(0, self._first_open - first) :]
        begin = max(0, first - self._first_open)
        self._open_U[name][begin : begin + len(values_U)] = values_U

    def _count(self, waiting: _Waiting, tokens: slice, values_KN: Measured) -> None:
        """Add the values of a block's tokens to their units."""
        nats, entropy, rank, word_end = values_KN
        units, count = self._open_U, len(self._open_U)
        unit_N = waiting.grouping.unit_N[tokens] - self._first_open
        scored_N = ~np.isnan(nats)
        unknown_N = waiting.ids[tokens] == self._tokenizer.unknown_id
        units["tokens"] += np.bincount(unit_N, minlength=count)
        units["scored"] += np.bincount(unit_N[scored_N], minlength=count)
        units["unknown"] += np.bincount(unit_N[unknown_N], minlength=count)
        # If a word is not scored, its end stays with the next token: the total is unchanged.
        previous_N = np.concatenate([[0], unit_N])[:-1]
        after = np.flatnonzero(waiting.grouping.ends_previous_N[tokens] & scored_N)
        after = after[units["scored"][previous_N[after]] > 0]
        moved = np.minimum(word_end[after], nats[after])
        kept = nats.copy()
        kept[after] -= moved
        units["moved"][previous_N[after]] += moved
        for name, values_N in (("nats", kept), ("entropy", entropy)):
            # One token after the other, so that blocks of any size give the same sums.
            of_N = np.concatenate([np.arange(count), unit_N[scored_N]])
            weights_N = np.concatenate([units[name], values_N[scored_N]])
            units[name] = np.bincount(of_N, weights_N, count)
        np.fmax.at(units["worst_rank"], unit_N, rank)

    def _close(self, count: int) -> Columns:
        """The rows of the first so many of the open units, which are open no more."""
        units, self._open_U = self._open_U[:count], self._open_U[count:]
        self._first_open += count
        if not count:
            return {}
        ends = np.where(units["end"] == UNKNOWN, self._end, units["end"])
        spans = np.minimum(np.stack([units["begin"], ends], axis=1), self._end)
        scored = units["scored"]
        nats = np.where(scored > 0, units["nats"] + units["moved"], np.nan)
        return {
            **self._places(units["line"], spans),
            "tokens": units["tokens"],
            "scored": scored,
            self._surprisal: nats / self._scale,
            self._entropy: np.where(scored > 0, units["entropy"], np.nan) / self._scale,
            "worst_rank": _as_integers(units["worst_rank"]),
            "unknown": units["unknown"],
        }

    def _places(self, lines: npt.NDArray[np.int64], spans: Spans) -> Columns:
        """The columns that say where rows stand, given their spans in the text."""
        first, self._position = self._position + 1, self._position + len(spans)
        return {
            "position": np.arange(first, self._position + 1),
            "line": lines,
            "begin": spans[:, 0],
            "end": spans[:, 1],
            "text": object_array([self._excerpt(begin, end) for begin, end in spans.tolist()]),
        }

    def _excerpt(self, begin: int, end: int) -> str | Excerpt:
        if begin < self._kept_begin:
            return Excerpt(self._text, begin, end)
        return self._kept[begin - self._kept_begin : end - self._kept_begin]

    def _forget(self) -> None:
        """Keep the characters that rows to come begin with, unless they are too many."""
        begin = self._end
        if self._by != "token" and len(self._open_U):
            begin = int(self._open_U["begin"][0])
        elif self._waiting:
            front = self._waiting[0]
            begin = front.block.place.character + int(front.block.spans[front.measured, 0])
        begin = max(begin, self._kept_begin)
        self._kept, self._kept_begin = self._kept[begin - self._kept_begin :], begin
        if len(self._kept) > LONG:
            self._kept, self._kept_begin = "", self._end


def joined(tables: Sequence[Columns]) -> Columns:
    """Tables one below the other; those without rows may be empty dictionaries."""
    filled = [table for table in tables if table]
    if len(filled) < 2:
        return filled[0] if filled else {}
    return {name: np.concatenate([table[name] for table in filled]) for name in filled[0]}


def object_array(texts: list[Any]) -> npt.NDArray[Any]:
    """Texts as an array of objects."""
    return np.array([*texts, None], dtype=object)[:-1]


def _lines(block: Block, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The lines of the text, from 1, that places in characters of a block are in."""
    breaks = np.flatnonzero(code_points(block.text) == LINE_BREAK)
    lines: npt.NDArray[np.int64] = block.place.line + 1 + np.searchsorted(breaks, places)
    return lines


def _as_integers(values: Measured) -> npt.NDArray[Any]:
    """Convert to integers, unless a value is NaN."""
    return values if np.isnan(values).any() else values.astype(np.int64)
