"""Score a text: a table of surprisals with a row for each token, word, line …

Shapes: N tokens, U units (rows), K measured values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.checked import check_fields
from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, read_passages, unwatched
from rondel.evaluation.framing import Framing, Passage
from rondel.evaluation.grouping import UNITS, Grouping, group, line_bounds, tokens_implying_space
from rondel.evaluation.measures import Measured, Prediction
from rondel.text.tokenizers import Tokenizer

Columns = dict[str, npt.NDArray[Any]]
"""A table: arrays of equal length by column name, as `pandas.DataFrame` takes them."""

NATS_PER = {"bits": math.log(2), "nats": 1.0}


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
    `Framing.passage` and `grouping.group` do.
    """
    measure = Prediction(tokens_implying_space(tokenizer))

    def read(passages: Sequence[Passage]) -> list[Measured]:
        size = settings.batch_size
        return read_passages(engine, tokenizer, passages, measure, batch_size=size, watch=watch)

    return score_by(read, tokenizer, documents, settings)


def score_by(
    read: Callable[[Sequence[Passage]], list[Measured]],
    tokenizer: Tokenizer,
    documents: Sequence[str],
    settings: ScoringSettings,
) -> list[Columns]:
    """The tables of `score`, given a function `read` that measures the text's tokens of passages.

    It returns the values of `measures.Prediction` (K, N) for each passage, NaN for unscored tokens.
    """
    texts = [settings.framing.ended(document) for document in documents]
    passages = [_passages(tokenizer, text, settings) for text in texts]
    for number, (document, parts) in enumerate(zip(documents, passages, strict=True), 1):
        where = f"document {number}" if len(documents) > 1 else "this text"
        _check_scorable(tokenizer, document, parts, where)
    measured = read([passage for parts in passages for passage in parts])
    tables, begin = [], 0
    for document, text, parts in zip(documents, texts, passages, strict=True):
        measured_KN = np.concatenate(measured[begin : begin + len(parts)], axis=1)
        tables.append(_table(tokenizer, document, text, parts, measured_KN, settings))
        begin += len(parts)
    return tables


def _passages(tokenizer: Tokenizer, text: str, settings: ScoringSettings) -> list[Passage]:
    """Split a document into passages read from the zero state: the whole, or its lines."""
    if not settings.reset:
        return [settings.framing.passage(tokenizer, text)]
    passages = []
    for begin, end in line_bounds(text).tolist():
        passage = settings.framing.passage(tokenizer, text[begin:end])
        passages.append(passage._replace(spans=passage.spans + begin))
    return passages


def _check_scorable(
    tokenizer: Tokenizer, text: str, passages: Sequence[Passage], where: str
) -> None:
    if not text:
        raise InputError(f"{where} is empty; give a text to score")
    if sum(len(passage.ids) - 1 for passage in passages if len(passage.text_ids)) < 1:
        raise InputError(
            f"{where} has nothing to score: no token comes after another; give a longer text, or "
            "a context"
        )
    refuse_unknown(tokenizer, text, where)


def refuse_unknown(tokenizer: Tokenizer, text: str, where: str = "this text") -> None:
    """Raise `InputError` for a text without a known token; see `all_unknown`."""
    if all_unknown(tokenizer, text):
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of {where}; is it in another script or "
            "encoding than the model's training text?"
        )


def all_unknown(tokenizer: Tokenizer, text: str) -> bool:
    """Whether no token of a text is known, except at word level, where that may happen."""
    ids = tokenizer.encode("".join(text.split()))
    return (
        not tokenizer.open_vocabulary and len(ids) > 0 and bool((ids == tokenizer.unknown_id).all())
    )


def _table(
    tokenizer: Tokenizer,
    document: str,
    text: str,
    passages: Sequence[Passage],
    measured_KN: Measured,
    settings: ScoringSettings,
) -> Columns:
    ids = np.concatenate([passage.text_ids for passage in passages])
    spans = np.concatenate([passage.spans for passage in passages])
    grouping = group(tokenizer, text, spans, settings.by)
    begins, ends = np.minimum(grouping.spans, len(document)).T
    nats, entropy, rank, word_end = measured_KN
    unknown = ids == tokenizer.unknown_id
    columns: Columns = {
        "position": np.arange(1, len(begins) + 1),
        "line": np.searchsorted(line_bounds(text)[:, 0], grouping.spans[:, 0], side="right"),
        "begin": begins,
        "end": ends,
        "text": object_array([document[a:b] for a, b in zip(begins, ends, strict=True)]),
    }
    scale, unit = NATS_PER[settings.unit], settings.unit
    if settings.by == "token":
        columns["token"] = object_array([tokenizer.token(i) for i in ids.tolist()])
        columns[f"surprisal_{unit}"] = nats / scale
        columns[f"entropy_{unit}"] = entropy / scale
        columns["rank"] = _as_integers(rank)
        columns["unknown"] = unknown.astype(np.int64)
        return columns
    unit_N = grouping.unit_N
    columns["tokens"] = np.bincount(unit_N, minlength=len(begins))
    columns["scored"] = scored = np.bincount(unit_N[~np.isnan(nats)], minlength=len(begins))
    nats_by_unit = _sum_by_unit(*_move_word_ends(nats, word_end, grouping, scored), scored)
    columns[f"surprisal_{unit}"] = nats_by_unit / scale
    columns[f"entropy_{unit}"] = _sum_by_unit(unit_N, entropy, scored) / scale
    columns["worst_rank"] = _worst_rank(rank, unit_N, len(begins))
    columns["unknown"] = np.bincount(unit_N[unknown], minlength=len(begins))
    return columns


def _move_word_ends(
    nats: Measured, word_end: Measured, grouping: Grouping, scored: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Measured]:
    """Units and nats to add to them: a word's end is moved from the next token to the word.

    If the word is not scored, its end stays with the next token, so that the total is unchanged.
    """
    unit_N, after = grouping.unit_N, np.flatnonzero(grouping.ends_previous_N & ~np.isnan(nats))
    after = after[scored[unit_N[after - 1]] > 0]
    moved = np.minimum(word_end[after], nats[after])
    kept = nats.copy()
    kept[after] -= moved
    return np.concatenate([unit_N, unit_N[after - 1]]), np.concatenate([kept, moved])


def _sum_by_unit(
    units: npt.NDArray[np.int64], values: Measured, scored: npt.NDArray[np.int64]
) -> Measured:
    """Sums by unit; NaN for a unit without a scored token."""
    finite = ~np.isnan(values)
    sums = np.bincount(units[finite], weights=values[finite], minlength=len(scored))
    return np.where(scored > 0, sums, np.nan)


def _worst_rank(rank: Measured, unit_N: npt.NDArray[np.int64], units: int) -> npt.NDArray[Any]:
    worst = np.full(units, np.nan)
    np.fmax.at(worst, unit_N, rank)
    return _as_integers(worst)


def _as_integers(values: Measured) -> npt.NDArray[Any]:
    """Convert to integers, unless a value is NaN."""
    return values if np.isnan(values).any() else values.astype(np.int64)


def object_array(texts: list[str]) -> npt.NDArray[Any]:
    """Texts as an array of objects."""
    return np.array([*texts, None], dtype=object)[:-1]
