"""Rescore n-best lists, such as those of a speech or handwriting recogniser.

An n-best list is a text file with one hypothesis per line in three tab-separated columns: an id,
shared by all hypotheses of an utterance; the first-pass score, higher is better; the hypothesis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from rondel.checked import checked
from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, read_passages, unwatched
from rondel.evaluation.framing import Framing, Passage, has_line_break
from rondel.evaluation.grouping import count_words
from rondel.evaluation.measures import Surprisal
from rondel.evaluation.score_rows import Columns, object_array
from rondel.evaluation.scoring import Knowing
from rondel.text.tokenizers import Tokenizer
from rondel.values import check_text, finite, shown

COLUMNS = ("id", "score", "text")
LENGTHS = ("none", "token", "word", "character")


class Hypothesis(NamedTuple):
    """One line of an n-best list, and its name in error messages.

    ::

        model.rescore([Hypothesis("utterance-1", -12.3, "the rain in spain")])
    """

    id: str
    score: float
    text: str
    where: str = "a hypothesis"


def parse_nbest(text: str, name: str, *, costs: bool = False) -> list[Hypothesis]:
    """Parse an n-best list; a first line `id score text` is skipped as its header.

    An id is never empty; a text may be: then only its line break is scored. With `costs`, lower
    scores in the file are better; they are returned negated. Raises `InputError`, naming the line,
    for one that is empty or not of three columns, or for a score that is not a finite number.
    """
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    found = []
    for number, line in enumerate(lines, 1):
        where = f"{name} line {number}"
        cells = line.split("\t")
        if number == 1 and tuple(cells) == COLUMNS:
            continue
        if not line.strip():
            raise InputError(f"{where} is empty; remove it")
        if len(cells) != len(COLUMNS):
            raise InputError(
                f"{where} has {len(cells)} columns, not {len(COLUMNS)} separated by tabs: "
                f"{', '.join(COLUMNS)}"
            )
        if not cells[0].strip():
            raise InputError(f"{where} has an empty id; give its hypotheses one")
        score = _parse_score(cells[1], where)
        found.append(Hypothesis(cells[0], -score if costs else score, cells[2], where))
    if not found:
        raise InputError(f"{name} holds no hypotheses; give lines of {', '.join(COLUMNS)}")
    return found


def hypotheses_from_rows(rows: Any) -> list[Hypothesis]:
    """Convert rows (id, score, text); raises `InputError` with the number of an invalid row."""
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise InputError(f"the hypotheses must be rows of (id, score, text), not {shown(rows)}")
    return [_hypothesis(row, f"hypothesis {number}") for number, row in enumerate(rows, 1)]


def _hypothesis(row: Any, where: str) -> Hypothesis:
    if not isinstance(row, tuple | list) or not 3 <= len(row) <= len(Hypothesis._fields):
        raise InputError(f"{where} must be a row of (id, score, text), not {shown(row)}")
    utterance, score, text, *name = row
    where = name[0] if name else where
    check_text(utterance, f"the id of {where}")
    check_text(text, f"the text of {where}")
    return Hypothesis(utterance, finite(f"the score of {where}", score), text, where)


class RescoreKeywords(TypedDict, total=False):
    """What `LanguageModel.rescore` takes beside the hypotheses, for type checkers."""

    weight: float
    normalize: str
    unknown_penalty: float | None
    context: str
    batch_size: int
    watch: Watch


@checked
def rescore(
    engine: Engine,
    tokenizer: Tokenizer,
    hypotheses: Sequence[Hypothesis],
    *,
    weight: float = 0.5,
    normalize: str = "none",
    unknown_penalty: float | None = None,
    context: str = "",
    batch_size: int = 64,
    watch: Watch = unwatched,
) -> Columns:
    """Sort each id's hypotheses, best first, by `first_pass + weight * lm`; ids keep their order.

    `lm_nats` is ln p of the hypothesis and its final line break, given a line break or `context`.
    `lm` is `lm_nats` less `unknown_penalty` nats for each token not in the vocabulary, divided by
    the number of tokens, words or characters if `normalize` says so (the end counts as one). Ties
    keep their order. If the vocabulary has no line break, neither the first token nor the end is
    scored.

    Raises `InputError`, naming the line, for a hypothesis too short to score or all unknown.
    """
    if normalize not in LENGTHS:
        choices = ", ".join(LENGTHS)
        raise InputError(f"scores are normalized by one of {choices}, not {normalize!r}")
    weight = finite("the weight", weight)
    penalty = finite("the penalty of an unknown token", unknown_penalty or 0.0, at_least=0)
    framing = Framing(end=has_line_break(tokenizer), context=context)
    passages = [_passage(tokenizer, framing, hypothesis) for hypothesis in hypotheses]
    measured = read_passages(
        engine, tokenizer, passages, Surprisal(), batch_size=batch_size, watch=watch
    )
    lm_nats = -np.array([np.nansum(nats_1N) for nats_1N in measured])
    lengths = np.array(
        [_length(framing, h.text, p, normalize) for h, p in zip(hypotheses, passages, strict=True)]
    )
    unknown = np.array([int((p.text_ids == tokenizer.unknown_id).sum()) for p in passages])
    first_pass = np.array([hypothesis.score for hypothesis in hypotheses])
    total = first_pass + weight * (lm_nats - penalty * unknown) / lengths
    order, rank = _best_first([hypothesis.id for hypothesis in hypotheses], total)
    columns: Columns = {
        "id": object_array([hypothesis.id for hypothesis in hypotheses]),
        "score": total,
        "first_pass": first_pass,
        "lm_nats": lm_nats,
        "unknown": unknown,
        "text": object_array([hypothesis.text for hypothesis in hypotheses]),
    }
    ordered = {name: column[order] for name, column in columns.items()}
    return {"id": ordered.pop("id"), "rank": rank, **ordered}


def unknown_token_warning(tokenizer: Tokenizer, table: Columns) -> str | None:
    """The warning about unknown tokens in a table that was rescored without a penalty."""
    count, hypotheses = int(table["unknown"].sum()), int((table["unknown"] > 0).sum())
    if not count:
        return None
    noun = tokenizer.token_noun + "s" * (count != 1)
    return (
        f"{count:,} unknown {noun} in {hypotheses:,} of {len(table['unknown']):,} hypotheses, each "
        "scored with the probability of all unknown tokens together, which favours them; set an "
        "unknown penalty (in nats)"
    )


def _passage(tokenizer: Tokenizer, framing: Framing, hypothesis: Hypothesis) -> Passage:
    passage = framing.passage(tokenizer, framing.ended(hypothesis.text))
    if len(passage.ids) < 2 or not len(passage.text_ids):
        raise InputError(f"{hypothesis.where}: its text is too short to score; remove it")
    knowing = Knowing(tokenizer)
    knowing.add(hypothesis.text)
    if knowing.all_unknown:
        raise InputError(
            f"{hypothesis.where}: the model knows no {tokenizer.token_noun} of its text; "
            "remove it, or use another model"
        )
    return passage


def _length(framing: Framing, text: str, passage: Passage, normalize: str) -> int:
    """What the log-probability of a hypothesis is divided by, at least 1."""
    if normalize == "token":
        return len(passage.text_ids)
    lengths = {
        "none": 1,
        "word": count_words(text) + framing.end,
        "character": len(text) + framing.end,
    }
    return max(1, lengths[normalize])


def _best_first(
    ids: Sequence[str], total: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The order that groups hypotheses by id, best first, and the ranks in that order."""
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(utterance, len(numbers)) for utterance in ids])
    order = np.lexsort((-total, groups))
    ordered = groups[order]
    return order, 1 + np.arange(len(ids)) - np.searchsorted(ordered, ordered)


def _parse_score(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    # float() accepts 1_0 as 10.
    if "_" in cell or not math.isfinite(number):
        raise InputError(f"{where}: its score {cell!r} is not a finite number; correct it")
    return number
