"""Putting the hypotheses of a first pass (of speech or text recognition, say) into a new order.

An n-best list is text, a hypothesis a line, in three columns parted by tabs: an id, which all
hypotheses of one utterance share, the first pass's score, higher for better, and the hypothesis.
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
from rondel.evaluation.framing import Framing, Passage, knows_line_break
from rondel.evaluation.measures import Surprisal
from rondel.evaluation.reading import Watch, read_passages, unwatched
from rondel.evaluation.scoring import Columns, knows_nothing_of, strings
from rondel.evaluation.units import count_words
from rondel.text.tokenizers import Tokenizer
from rondel.values import check_text, finite, shown

COLUMNS = ("id", "score", "text")
LENGTHS = ("none", "token", "word", "character")


class Hypothesis(NamedTuple):
    """One line of an n-best list, and what to call it where it cannot be used.

    ::

        model.rescore([Hypothesis("utterance-1", -12.3, "the rain in spain")])
    """

    id: str
    score: float
    text: str
    where: str = "a hypothesis"


def parse_nbest(text: str, name: str, *, costs: bool = False) -> list[Hypothesis]:
    """The hypotheses of an n-best list, in order; a first line `id score text` is its header.

    An id is never empty; a text may be: the line break after it is what is scored. With `costs`,
    scores are lower for better in the file; here they are always higher. Raises
    `InputError`, naming the line, for one that is empty or not of three columns, or a score that
    is no finite number.
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
            raise InputError(f"{where} is empty; take it out")
        if len(cells) != len(COLUMNS):
            raise InputError(
                f"{where} has {len(cells)} columns and takes {len(COLUMNS)}, parted by tabs: "
                f"{', '.join(COLUMNS)}"
            )
        if not cells[0].strip():
            raise InputError(f"{where} has an empty id; give its hypotheses one")
        score = _number(cells[1], where)
        found.append(Hypothesis(cells[0], -score if costs else score, cells[2], where))
    if not found:
        raise InputError(f"{name} holds no hypotheses; give lines of {', '.join(COLUMNS)}")
    return found


def hypotheses_of(rows: Any) -> list[Hypothesis]:
    """Rows (id, score, text) as hypotheses; `InputError`, numbering it, for one that is none."""
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise InputError(f"the hypotheses must be rows of (id, score, text), not {shown(rows)}")
    return [_hypothesis(row, f"hypothesis {number}") for number, row in enumerate(rows, 1)]


def _hypothesis(row: Any, where: str) -> Hypothesis:
    if not isinstance(row, tuple | list) or not 3 <= len(row) <= len(Hypothesis._fields):
        raise InputError(f"{where} must be a row of (id, score, text), not {shown(row)}")
    own_id, score, text, *named = row
    where = named[0] if named else where
    check_text(own_id, f"the id of {where}")
    check_text(text, f"the text of {where}")
    return Hypothesis(own_id, finite(f"the score of {where}", score), text, where)


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
    """Each id's hypotheses, best first, by `first_pass + weight * lm`; ids in order of appearance.

    `lm_nats` is ln p of the hypothesis with the line break that ends it, read for itself from a
    line break or from `context`; `lm` the same less `unknown_penalty` nats for each token that the
    vocabulary lacks, divided by so many tokens, words or characters if `normalize` says so (the
    end counted as one). Equals stay in their order. A model that knows no line break scores neither
    the first token nor the end.

    Raises `InputError`, naming the line, for a hypothesis with nothing to score or nothing known.
    """
    if normalize not in LENGTHS:
        raise InputError(f"scores are divided by one of {', '.join(LENGTHS)}, not {normalize!r}")
    weight = finite("the weight", weight)
    penalty = finite("the penalty of an unknown token", unknown_penalty or 0.0, at_least=0)
    framing = Framing(end=knows_line_break(tokenizer), context=context)
    passages = [_passage(tokenizer, framing, hypothesis) for hypothesis in hypotheses]
    measured = read_passages(
        engine, tokenizer, passages, Surprisal(), batch_size=batch_size, watch=watch
    )
    lm_nats = -np.array([np.nansum(nats_1N) for nats_1N in measured])
    lengths = np.array(
        [_length(framing, h.text, p, normalize) for h, p in zip(hypotheses, passages, strict=True)]
    )
    unknown = np.array([int((p.own_ids == tokenizer.unknown_id).sum()) for p in passages])
    first_pass = np.array([hypothesis.score for hypothesis in hypotheses])
    total = first_pass + weight * (lm_nats - penalty * unknown) / lengths
    order, rank = _best_first([hypothesis.id for hypothesis in hypotheses], total)
    columns: Columns = {
        "id": strings([hypothesis.id for hypothesis in hypotheses]),
        "score": total,
        "first_pass": first_pass,
        "lm_nats": lm_nats,
        "unknown": unknown,
        "text": strings([hypothesis.text for hypothesis in hypotheses]),
    }
    ordered = {name: column[order] for name, column in columns.items()}
    return {"id": ordered.pop("id"), "rank": rank, **ordered}


def unknowns_unpunished(tokenizer: Tokenizer, table: Columns) -> str | None:
    """What to say of a table's unknown tokens, where they were given no penalty."""
    count, hypotheses = int(table["unknown"].sum()), int((table["unknown"] > 0).sum())
    if not count:
        return None
    noun = tokenizer.token_noun + "s" * (count != 1)
    return (
        f"{count:,} unknown {noun} in {hypotheses:,} of {len(table['unknown']):,} hypotheses, each "
        "as likely as all that the model does not know together, which favours them; an unknown "
        "penalty (in nats) takes that away"
    )


def _passage(tokenizer: Tokenizer, framing: Framing, hypothesis: Hypothesis) -> Passage:
    passage = framing.passage(tokenizer, framing.ended(hypothesis.text))
    if len(passage.ids) < 2 or not len(passage.own_ids):
        raise InputError(f"{hypothesis.where}: its text is too short to score; take it out")
    if knows_nothing_of(tokenizer, hypothesis.text):
        raise InputError(
            f"{hypothesis.where}: the model knows no {tokenizer.token_noun} of its text; "
            "take it out, or use another model"
        )
    return passage


def _length(framing: Framing, text: str, passage: Passage, normalize: str) -> int:
    """What the log-probability of a hypothesis is divided by, at least 1."""
    if normalize == "token":
        return len(passage.own_ids)
    lengths = {
        "none": 1,
        "word": count_words(text) + framing.end,
        "character": len(text) + framing.end,
    }
    return max(1, lengths[normalize])


def _best_first(
    ids: Sequence[str], total: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The order that puts the hypotheses of an id together, best first; and their ranks in it."""
    number_of: dict[str, int] = {}
    groups = np.array([number_of.setdefault(own, len(number_of)) for own in ids])
    order = np.lexsort((-total, groups))
    ordered = groups[order]
    return order, 1 + np.arange(len(ids)) - np.searchsorted(ordered, ordered)


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    # Python would read 1_0 as ten.
    if "_" in cell or not math.isfinite(number):
        raise InputError(f"{where}: its score {cell!r} is not a finite number; correct it")
    return number
