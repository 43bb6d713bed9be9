"""How likely a model finds each part of a text: columns, a row for each token, word, line …

Shapes: N tokens, U units (rows), K what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.checked import check_fields
from rondel.engine import Engine
from rondel.engine.bidirectional import BidirectionalEngine
from rondel.errors import InputError
from rondel.evaluation.cloze import read_cloze_passages
from rondel.evaluation.framing import Framing, Passage
from rondel.evaluation.measures import Measured, Prediction
from rondel.evaluation.reading import Watch, read_passages, unwatched
from rondel.evaluation.units import UNITS, Grouping, group, line_bounds, tokens_after_gap
from rondel.text.tokenizers import Tokenizer

Columns = dict[str, npt.NDArray[Any]]
"""Arrays of one length by name; whatever reads a mapping of columns takes it as a table."""

NATS_PER = {"bits": math.log(2), "nats": 1.0}


@dataclass(frozen=True)
class ScoringSettings:
    """What a row is, in which unit, and how the text is read.

    With `reset`, every line is a text of its own, read from the zero state; else a document is. A
    bidirectional model scores each token given all others of the text, or with `causal` as its
    causal half does.

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


def score(
    engine: Engine | BidirectionalEngine,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    settings: ScoringSettings,
    watch: Watch = unwatched,
) -> list[Columns]:
    """Score every document from the zero state: a table each.

    In all tables: `position` (from 1), `line` (from 1), `begin` and `end` (in characters of the
    document), `text`; `surprisal_bits` and `entropy_bits` (or `_nats`); `unknown`, how many tokens
    the vocabulary lacks. By token there are `token`, its spelling in the vocabulary, and `rank`,
    where the likeliest is 1; else `tokens`, `scored` (those of them that are), and `worst_rank`. A
    row's surprisal and entropy are sums over its scored tokens, NaN where none is.

    With a bidirectional engine every token is scored, given all others of its text, and these two
    columns are `pseudo_surprisal_…` and `pseudo_entropy_…`: their sums are no log-probability.

    Raises `InputError` for an empty document, for one with nothing to score or nothing known, and
    as `Framing.passage` and `units.group` do.
    """
    texts = [settings.framing.ended(document) for document in documents]
    pieces = [_pieces(tokenizer, text, settings) for text in texts]
    for number, (document, own) in enumerate(zip(documents, pieces, strict=True), 1):
        where = f"document {number}" if len(documents) > 1 else "this text"
        _refuse_useless(tokenizer, document, own, where)
    measured = _measured(
        engine, tokenizer, [passage for own in pieces for passage in own], settings, watch
    )
    tables, begin = [], 0
    for document, text, own in zip(documents, texts, pieces, strict=True):
        measured_KN = np.concatenate(measured[begin : begin + len(own)], axis=1)
        tables.append(_table(tokenizer, document, text, own, measured_KN, settings))
        begin += len(own)
    return list(map(_pseudo, tables)) if isinstance(engine, BidirectionalEngine) else tables


def _measured(
    engine: Engine | BidirectionalEngine,
    tokenizer: Tokenizer,
    passages: Sequence[Passage],
    settings: ScoringSettings,
    watch: Watch,
) -> list[Measured]:
    if isinstance(engine, BidirectionalEngine):
        # That a word is over is known here from what follows it: no token holds it for another.
        measure = Prediction(np.zeros(tokenizer.vocab_size, np.bool_))
        return read_cloze_passages(engine, passages, measure, watch=watch)
    measure, size = Prediction(tokens_after_gap(tokenizer)), settings.batch_size
    return read_passages(engine, tokenizer, passages, measure, batch_size=size, watch=watch)


def _pseudo(table: Columns) -> Columns:
    """The table with its figures called what they are."""
    figures = ("surprisal_", "entropy_")
    return {
        f"pseudo_{name}" if name.startswith(figures) else name: column
        for name, column in table.items()
    }


def _pieces(tokenizer: Tokenizer, text: str, settings: ScoringSettings) -> list[Passage]:
    """What is read from the zero state: the text, or each of its lines."""
    if not settings.reset:
        return [settings.framing.passage(tokenizer, text)]
    pieces = []
    for begin, end in line_bounds(text).tolist():
        passage = settings.framing.passage(tokenizer, text[begin:end])
        pieces.append(passage._replace(spans=passage.spans + begin))
    return pieces


def _refuse_useless(tokenizer: Tokenizer, text: str, own: Sequence[Passage], where: str) -> None:
    if not text:
        raise InputError(f"{where} is empty; give a text to score")
    if sum(len(passage.ids) - 1 for passage in own if len(passage.own_ids)) < 1:
        raise InputError(
            f"{where} has nothing to score: no token comes after another; give a longer text, or "
            "something to start from"
        )
    refuse_unknown(tokenizer, text, where)


def refuse_unknown(tokenizer: Tokenizer, text: str, where: str = "this text") -> None:
    """Raise `InputError` for a text of which a model knows nothing; see `knows_nothing_of`."""
    if knows_nothing_of(tokenizer, text):
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of {where}; is it in another script, or "
            "encoding, than the model's own text?"
        )


def knows_nothing_of(tokenizer: Tokenizer, text: str) -> bool:
    """Whether a text is in no script of the model's. A word model may well meet unknown words."""
    ids = tokenizer.encode("".join(text.split()))
    return (
        not tokenizer.open_vocabulary and len(ids) > 0 and bool((ids == tokenizer.unknown_id).all())
    )


def _table(
    tokenizer: Tokenizer,
    document: str,
    text: str,
    own: Sequence[Passage],
    measured_KN: Measured,
    settings: ScoringSettings,
) -> Columns:
    ids = np.concatenate([passage.own_ids for passage in own])
    spans = np.concatenate([passage.spans for passage in own])
    grouping = group(tokenizer, text, spans, settings.by)
    begins, ends = np.minimum(grouping.spans, len(document)).T
    nats, entropy, rank, gap = measured_KN
    unknown = ids == tokenizer.unknown_id
    columns: Columns = {
        "position": np.arange(1, len(begins) + 1),
        "line": np.searchsorted(line_bounds(text)[:, 0], grouping.spans[:, 0], side="right"),
        "begin": begins,
        "end": ends,
        "text": strings([document[a:b] for a, b in zip(begins, ends, strict=True)]),
    }
    scale, unit = NATS_PER[settings.unit], settings.unit
    if settings.by == "token":
        columns["token"] = strings([tokenizer.token(i) for i in ids.tolist()])
        columns[f"surprisal_{unit}"] = nats / scale
        columns[f"entropy_{unit}"] = entropy / scale
        columns["rank"] = _whole(rank)
        columns["unknown"] = unknown.astype(np.int64)
        return columns
    columns["tokens"] = np.bincount(grouping.of_N, minlength=len(begins))
    scored = np.bincount(grouping.of_N[~np.isnan(nats)], minlength=len(begins))
    columns["scored"] = scored
    columns[f"surprisal_{unit}"] = _sums(_with_gaps(nats, gap, grouping, scored), scored) / scale
    columns[f"entropy_{unit}"] = _sums((grouping.of_N, entropy), scored) / scale
    columns["worst_rank"] = _worst(rank, grouping.of_N, len(begins))
    columns["unknown"] = np.bincount(grouping.of_N[unknown], minlength=len(begins))
    return columns


def _with_gaps(
    nats: Measured, gap: Measured, grouping: Grouping, scored: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Measured]:
    """Units and what goes to them, with the end of a unit taken from the token after it.

    The end of one that is not scored stays where it is, so that the sum does not miss it.
    """
    after = np.flatnonzero(grouping.after_gap_N & ~np.isnan(nats))
    after = after[scored[grouping.of_N[after - 1]] > 0]
    of_end = np.minimum(gap[after], nats[after])
    own = nats.copy()
    own[after] -= of_end
    return np.concatenate([grouping.of_N, grouping.of_N[after - 1]]), np.concatenate([own, of_end])


def _sums(parts: tuple[npt.NDArray[np.int64], Measured], scored: npt.NDArray[np.int64]) -> Measured:
    """Sums by unit; NaN for a unit of which nothing was scored."""
    units, values = parts
    there = ~np.isnan(values)
    sums = np.bincount(units[there], weights=values[there], minlength=len(scored))
    return np.where(scored > 0, sums, np.nan)


def _worst(rank: Measured, of_N: npt.NDArray[np.int64], units: int) -> npt.NDArray[Any]:
    worst = np.full(units, np.nan)
    np.fmax.at(worst, of_N, rank)
    return _whole(worst)


def _whole(values: Measured) -> npt.NDArray[Any]:
    """Whole numbers as such, unless one of them is missing."""
    return values if np.isnan(values).any() else values.astype(np.int64)


def strings(texts: list[str]) -> npt.NDArray[Any]:
    """Texts as an array of objects, as tables hold them."""
    return np.array([*texts, None], dtype=object)[:-1]
