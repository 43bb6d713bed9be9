"""Score a text: a table of surprisals with a row for each token, word, line …

A text is read in blocks, and its table made in parts; `Point` says how to go on after any of them.

Shapes: N tokens, K measured values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rondel.checked import check_fields
from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, unwatched
from rondel.evaluation.block_reading import BETWEEN, PassageReader, Progress, Reader, ReaderState
from rondel.evaluation.framing import Framing
from rondel.evaluation.grouping import UNITS, tokens_implying_space
from rondel.evaluation.measures import Prediction
from rondel.evaluation.score_rows import (
    NATS_PER,
    Columns,
    Excerpt,
    Rows,
    RowsState,
    joined,
    object_array,
)
from rondel.evaluation.text_blocks import BLOCK, Place, TextBlocks
from rondel.text.stored import StoredText
from rondel.text.tokenizers import Tokenizer

MakeReader = Callable[[TextBlocks], Reader]


@dataclass(frozen=True)
class ScoringSettings:
    """What a row is, the unit of surprisal, and how the text is read.

    With `reset`, every line is read from the zero state, otherwise every document. A bidirectional
    model scores each token given all others of the text, or with `causal` given those before it.

    ::

        model.score_many(texts, ScoringSettings(by="word", unit="nats"))
    """

    by: str = "token"
    unit: str = "bits"
    reset: bool = False
    framing: Framing = field(default_factory=Framing)
    batch_size: int = 64
    causal: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if self.by not in UNITS:
            raise InputError(f"a text is scored by {', '.join(UNITS)}, not by {self.by!r}")
        if self.unit not in NATS_PER:
            raise InputError(f"surprisal is in {' or '.join(NATS_PER)}, not in {self.unit!r}")
        if self.batch_size < 1:
            raise InputError(f"the batch size must be at least 1, not {self.batch_size}")


class Point(NamedTuple):
    """A place to go on from: the texts before it are scored."""

    place: Place = Place()
    rows: RowsState | None = None
    """Of the document that goes on there, if one does."""
    reader: ReaderState = BETWEEN


START = Point()


class Scored(NamedTuple):
    """A part of the table of a document."""

    text: int
    """Which text, from 0."""
    document: int
    """Which of its documents, from 0."""
    table: Columns
    """Empty if no row was complete."""
    point: Point | None
    """Where to go on after it; `None` where that cannot be."""


def score(
    engine: Engine,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    settings: ScoringSettings,
    watch: Watch = unwatched,
) -> list[Columns]:
    """Score every document from the zero state: a table each.

    In all tables: `position` (from 1), `line` (from 1), `begin` and `end` (in characters of the
    document), `text`; `surprisal_bits` and `entropy_bits` (or `_nats`); `unknown`, the number of
    tokens not in the vocabulary. By token there are `token`, its spelling in the vocabulary, and
    `rank`, 1 for the likeliest; otherwise `tokens`, `scored` (how many of them are scored) and
    `worst_rank`. A row's surprisal and entropy are sums over its scored tokens, NaN without any.

    Raises `InputError` for a document that is empty, too short to score, or all unknown, and as
    `Framing.passage` and `Grouper` do.
    """

    def make(_: TextBlocks) -> Reader:
        return passage_reader(engine, tokenizer, settings)

    return score_by(make, tokenizer, documents, settings, watch)


def passage_reader(engine: Engine, tokenizer: Tokenizer, settings: ScoringSettings) -> Reader:
    """A reader of what rows are made of, each token given those before it."""
    measure = Prediction(tokens_implying_space(tokenizer))
    return PassageReader(engine, tokenizer, measure, settings.batch_size)


def score_by(
    make: MakeReader,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    settings: ScoringSettings,
    watch: Watch = unwatched,
) -> list[Columns]:
    """The tables of `score`, by a reader of another kind, which `make` makes for the texts."""
    holds_bytes = tokenizer.reads_bytes
    texts = [StoredText.of(text, holds_bytes=holds_bytes, block=BLOCK) for text in documents]
    tables: list[list[Columns]] = [[] for _ in texts]
    for part in score_texts(make, tokenizer, texts, settings, watch):
        if part.table:
            part.table["text"][:] = list(map(str, part.table["text"]))
        tables[part.text].append(part.table)
    return list(map(joined, tables))


def score_texts(
    make: MakeReader,
    tokenizer: Tokenizer,
    texts: Sequence[StoredText],
    settings: ScoringSettings,
    watch: Watch = unwatched,
    point: Point = START,
) -> Iterator[Scored]:
    """The tables of stored texts in parts, as they are made, from a point of an earlier time on.

    Columns are those of `score`; `begin`, `end` and `line` count from the beginning of the text,
    and a long `text` may be an `Excerpt`. Raises what `score` raises, for all texts at once before
    the first part.
    """
    blocks = TextBlocks(list(texts), tokenizer, settings.framing, settings.reset)
    if point is START:
        for number in range(len(texts)):
            where = f"document {number + 1}" if len(texts) > 1 else "this text"
            refuse_unscorable(blocks, number, where)
    reader = make(blocks)
    rows = None
    if point.rows is not None:
        rows = _rows(blocks, point.place, settings, reader)
        rows.resume(point.rows, point.place)
    measured = 0 if point.rows is None else point.rows.measured
    upcoming = blocks.beginning_at(point.place)
    progress = Progress(blocks, watch)
    for block, values_KN, resumable in reader.read(upcoming, progress, point.reader, measured):
        rows = rows or _rows(blocks, block.place, settings, reader)
        rows.add(block)
        table, place = rows.measured(values_KN), rows.place or block.following
        if block.ends:
            table, rows = joined([table, rows.finish()]), None
        here = None
        if resumable is not None:
            here = Point(place, None if rows is None else rows.state(), resumable)
        progress(block, 1.0)
        yield Scored(block.place.text, block.place.document, table, here)


def _rows(blocks: TextBlocks, place: Place, settings: ScoringSettings, reader: Reader) -> Rows:
    text = blocks.texts[place.text]
    return Rows(text, blocks.tokenizer, settings.by, settings.unit, reader.prefix)


def with_places(part: Scored, text: StoredText, *, long_text: type = Excerpt) -> Columns:
    """A part's table with places in the file that the text is of, and documents by number.

    A long text of a row is an `Excerpt`, unless `long_text` is `str`.
    """
    table = dict(part.table)
    for name in ("begin", "end"):
        table[name] = text.as_written(table[name])
    if long_text is str:
        table["text"] = object_array(list(map(str, table["text"])))
    if text.documents is None:
        return table
    return {"number": np.full(len(table["line"]), part.document + 1), **table}


def refuse_unknown(blocks: TextBlocks) -> None:
    """Raise `InputError` if the model knows no token of a text.

    It is read up to the first that is known.
    """
    knowing = Knowing(blocks.tokenizer)
    for block in blocks:
        if knowing.any_known:
            return
        knowing.add(block.text)
    knowing.refuse()


def refuse_unscorable(blocks: TextBlocks, number: int, where: str) -> None:
    """Raise `InputError` for a text that is empty, too short to score, or all unknown.

    It is read up to the first place that shows it is not.
    """
    if not blocks.texts[number].size:
        raise InputError(f"{where} is empty; give a text to score")
    scorable = False
    knowing = Knowing(blocks.tokenizer)
    for block in blocks.beginning_at(Place(number)):
        if block.place.text != number:
            break
        knowing.add(block.text)
        scorable = scorable or any(
            len(part.text_ids) > 0 and (len(part.ids) > 1 or not part.begins)
            for part in block.parts
        )
        if scorable and knowing.any_known:
            return
    if not scorable:
        raise InputError(
            f"{where} has nothing to score: no token comes after another; give a longer text, or "
            "a context"
        )
    knowing.refuse(where)


class Knowing:
    """Whether a model knows any token of a text that comes in blocks, white space apart."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._any_unknown = False
        # At word level a text may have none that is known.
        self.any_known = tokenizer.open_vocabulary

    def add(self, text: str) -> None:
        """Look at the next block, if none was known so far."""
        if not self.any_known:
            ids = self._tokenizer.encode("".join(text.split()))
            unknown_N = ids == self._tokenizer.unknown_id
            self.any_known = not bool(np.all(unknown_N))
            self._any_unknown |= bool(np.any(unknown_N))

    @property
    def all_unknown(self) -> bool:
        """Whether there were tokens, and the model knows none."""
        return self._any_unknown and not self.any_known

    def refuse(self, where: str = "this text") -> None:
        """Raise `InputError` if the model knows no token."""
        if self.all_unknown:
            raise InputError(
                f"the model knows no {self._tokenizer.token_noun} of {where}; is it in another "
                "script or encoding than the model's training text?"
            )
