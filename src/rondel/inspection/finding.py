"""Which units go with which features of the text, and how sure that is.

A unit is scored on the first half of the text. What is found there must be

- more than chance gives. The feature is moved along the text by many random distances: such
  circular shifts leave how it and the units go on from token to token, and break what they have to
  do with each other. Of each shift counts the largest score that any unit has on any feature, each
  in standard deviations of its feature's scores by chance (the maximum statistic of Westfall and
  Young 1993), so that it does not matter how many units and features were looked at;
- more than units do that have learnt nothing. What the last few tokens were shows in all of them;
  so the same is asked of the same model with its weights shuffled, and its best unit is the bar;
- there again in the second half of the text, which had no part in the finding.

Shapes: N tokens, U units, Q questions (a feature and a measure), C columns to correlate with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.engine.base import Floats
from rondel.errors import InputError
from rondel.inspection.features import Feature
from rondel.inspection.sentences import ENCODER, ENCODER_BACKWARD
from rondel.inspection.text_reader import BACKWARD
from rondel.inspection.trace import Trace, Unit

SHIFTS = 199
LEVEL = 0.05
MARGIN = 0.15
"""By how much a sine must be over a straight line, in Fisher's z, to be told."""

BAR_DEVIATIONS, LEAST_DEVIATION = 6.0, 0.05
"""How far over the mean of the best that models do that have learnt nothing, in Fisher's z.

The largest of many varies as Gumbel's distribution does, with a long tail, and its deviation is
known only roughly from a few models; it is taken to be at least so much.
"""

LEAST = 0.3
"""The least strength that is worth telling, however sure it is."""

RUNS = 5
"""How often, at least, a feature comes and goes in each half: fewer prove nothing."""

LONGEST = 20_000
"""Tokens of each half that are looked at."""

SHORTEST_WAVE, WAVES = 4.0, 8
FINDING_TRACKS = tuple(
    stack + state
    for stack in ("", BACKWARD, ENCODER, ENCODER_BACKWARD)
    for state in ("hidden", "cell")
)


@dataclass(frozen=True)
class Find:
    """A unit that goes with a feature.

    `measure` says what `value` (in the first half of the text) and `confirmed_value` (in the other)
    are: "auc", how often the unit is higher where the feature holds than where it does not, below
    0.5 if it is lower there; "r", Pearson's; "sine", the correlation with the sine of `wavelength`
    tokens that fits best. `p_value` is corrected for all units and features looked at.
    """

    unit: Unit
    feature: str
    measure: str
    value: float
    confirmed_value: float
    p_value: float
    wavelength: float | None = None

    @property
    def strength(self) -> float:
        """From 0 to 1, on one scale for all measures: |r|, or |2 AUC - 1|."""
        return abs(2 * self.value - 1 if self.measure == "auc" else self.value)


@dataclass(frozen=True)
class _Question:
    feature: Feature
    measure: str
    wavelength: float | None = None

    def columns(self, part: slice) -> Floats:
        """What to correlate units with (N, 1 or 2): centred, of length 1, at right angles."""
        values = self.feature.values[part].astype(np.float64)
        if self.wavelength is None:
            columns = values[:, None]
        else:
            angle = 2 * np.pi * values / self.wavelength
            columns = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        square, triangle = np.linalg.qr(columns - columns.mean(axis=0))
        # A column comes out of it turned about, or not.
        turned: Floats = (square * np.sign(np.diag(triangle))).astype(np.float32)
        return turned


def find(
    trace: Trace,
    features: Sequence[Feature],
    controls: Sequence[Trace],
    *,
    tracks: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Find]:
    """The units that go with a feature, the strongest first.

    `controls` are traces of the same text, or of its `first_half`, by models that learnt nothing.
    `tracks` names those to look through (the hidden and cell states, if it is not told). Raises
    `InputError` if the text is too short to be halved.
    """
    chosen = [name for name in tracks or FINDING_TRACKS if name in trace.tracks]
    first, second = _halves(len(trace))
    questions = _questions(features, first, second)
    if not questions:
        return []
    asked = _Asked(questions, first)
    here = {name: asked.strengths(_columns(trace, name, first)) for name in chosen}
    again = _Asked(questions, second)
    there = {name: again.strengths(_columns(trace, name, second)) for name in chosen}
    bar_Q = _bar([asked.best(control, chosen) for control in controls], len(questions))
    chance_SQ = asked.chance([_columns(trace, name, first) for name in chosen], seed)
    p_values = _p_values(here, chance_SQ)
    finds = [
        found
        for name in chosen
        for found in _sift(trace, name, questions, here[name], there[name], p_values[name], bar_Q)
    ]
    return sorted(finds, key=lambda found: -min(found.strength, 1.0))


def first_half(count: int) -> int:
    """How many tokens of a text things are found in: all that a control has to read."""
    return min(count // 2, LONGEST)


def _bar(best_RQ: Sequence[Floats], questions: int) -> Floats:
    """What finds must reach, in Fisher's z (Q,), by the best of each control."""
    if not best_RQ:
        return np.zeros(questions, np.float32)
    z_RQ = _fisher(np.stack(best_RQ))
    deviation_Q = np.maximum(z_RQ.std(axis=0, ddof=min(1, len(z_RQ) - 1)), LEAST_DEVIATION)
    bar: Floats = z_RQ.mean(axis=0) + BAR_DEVIATIONS * deviation_Q
    return bar


def _halves(count: int) -> tuple[slice, slice]:
    if count < 200:
        raise InputError(
            f"{count} tokens are too few to find anything in: give it a text of 200 or more"
        )
    half = count // 2
    return slice(0, first_half(count)), slice(half, min(count, half + LONGEST))


def _questions(features: Sequence[Feature], first: slice, second: slice) -> list[_Question]:
    """What can be asked of both halves."""
    questions = []
    for feature in features:
        if any(_runs(feature.values[part]) < RUNS for part in (first, second)):
            continue
        questions.append(_Question(feature, "r" if feature.is_number else "auc"))
        if feature.is_position:
            longest = 2 * float(np.quantile(feature.values[first], 0.95))
            if longest > SHORTEST_WAVE:
                waves = np.geomspace(SHORTEST_WAVE, longest, WAVES)
                questions += [_Question(feature, "sine", float(wave)) for wave in waves]
    return questions


def _runs(values: Floats) -> int:
    """How often a feature comes and goes again."""
    return int(np.count_nonzero(np.diff(values))) // 2


def _columns(trace: Trace, track: str, part: slice) -> Floats:
    """A track's units side by side (N, U)."""
    array: Floats = trace.tracks[track][part]
    return array.reshape(len(array), -1)


class _Asked:
    """Questions about one part of a text, ready to be answered by any units."""

    def __init__(self, questions: Sequence[_Question], part: slice) -> None:
        self.questions = questions
        self.is_ranked = np.array([question.measure == "auc" for question in questions])
        columns = [question.columns(part) for question in questions]
        self.owner = np.repeat(np.arange(len(columns)), [c.shape[1] for c in columns])
        self.columns_NC = np.concatenate(columns, axis=1)
        held = np.array([q.feature.values[part].mean() for q in questions])
        self.spread_Q = np.where(self.is_ranked, np.sqrt(np.abs(held * (1 - held))), 1.0)

    def strengths(self, units_NU: Floats) -> Floats:
        """How each unit answers each question (U, Q): 2 AUC - 1, r, or a sine's correlation."""
        raw, ranked, scale = _prepared(units_NU)
        return self._strengths(raw, ranked, scale, self.columns_NC)

    def best(self, trace: Trace, tracks: Sequence[str]) -> Floats:
        """The strongest answer of any of a trace's units to each question (Q,)."""
        part = slice(0, len(self.columns_NC))
        answers = [np.abs(self.strengths(_columns(trace, name, part))) for name in tracks]
        strongest: Floats = np.concatenate(answers).max(axis=0)
        return strongest

    def chance(self, tracks: Sequence[Floats], seed: int) -> Floats:
        """The strongest answer of any unit to each question after each shift (S, Q)."""
        rng = np.random.default_rng(seed)
        count = len(self.columns_NC)
        guard = min(count // 10, 500)
        shifts = rng.integers(guard, count - guard, SHIFTS)
        best = np.zeros((SHIFTS, len(self.questions)), np.float32)
        for units_NU in tracks:
            raw, ranked, scale = _prepared(units_NU)
            for s, shift in enumerate(shifts):
                shifted = np.roll(self.columns_NC, shift, axis=0)
                answers = np.abs(self._strengths(raw, ranked, scale, shifted)).max(axis=0)
                best[s] = np.maximum(best[s], answers)
        return best

    def _strengths(
        self, raw_NU: Floats, ranked_NU: Floats, scale_U: Floats, columns_NC: Floats
    ) -> Floats:
        by_rank = self.is_ranked[self.owner]
        answers = np.empty((raw_NU.shape[1], columns_NC.shape[1]), np.float32)
        answers[:, by_rank] = ranked_NU.T @ columns_NC[:, by_rank]
        answers[:, ~by_rank] = raw_NU.T @ columns_NC[:, ~by_rank]
        begins = np.flatnonzero(np.diff(self.owner, prepend=-1))
        squares = np.add.reduceat(answers**2, begins, axis=1)
        signs = np.where(np.bincount(self.owner) > 1, 1.0, np.sign(answers[:, begins]))
        strengths = np.sqrt(squares) * signs
        # The correlation of ranks with yes and no is the AUC but for these two factors.
        auc = 2 * strengths * scale_U[:, None] / self.spread_Q
        return np.clip(np.where(self.is_ranked, auc, strengths), -1, 1).astype(np.float32)


def _prepared(units_NU: Floats) -> tuple[Floats, Floats, Floats]:
    """Units and their ranks, centred and of length 1 (N, U), and the spread of the ranks (U,)."""
    ranks_NU = np.empty_like(units_NU)
    for u in range(units_NU.shape[1]):
        ranks_NU[:, u] = _ranks(units_NU[:, u])
    spread_U = (ranks_NU.std(axis=0) / len(ranks_NU)).astype(np.float32)
    return _normed(units_NU), _normed(ranks_NU), spread_U


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, those of equals their mean."""
    order = np.argsort(values)
    in_order = values[order]
    begins = np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
    ranks = np.empty(len(values), np.float32)
    if len(begins) == len(values):
        ranks[order] = np.arange(len(values))
    else:
        lengths = np.diff(np.append(begins, len(values)))
        ranks[order] = np.repeat(begins + (lengths - 1) / 2, lengths)
    return ranks


def _normed(columns: Floats) -> Floats:
    centred = columns - columns.mean(axis=0, dtype=np.float64)
    length = np.sqrt((centred**2).sum(axis=0))
    # A unit that never changes has nothing to say, whatever rounding leaves of it.
    still = length < 1e-5 * np.sqrt(len(columns))
    normed: Floats = np.where(still, 0.0, centred / np.where(still, 1.0, length)).astype(np.float32)
    return normed


def _p_values(here: Mapping[str, Floats], chance_SQ: Floats) -> dict[str, npt.NDArray[Any]]:
    """How often chance gives any unit on any question as much: (U, Q) by track."""
    mean_Q, spread_Q = chance_SQ.mean(axis=0), chance_SQ.std(axis=0) + 1e-6
    highest_S = np.sort(((chance_SQ - mean_Q) / spread_Q).max(axis=1))
    return {
        name: (1 + SHIFTS - np.searchsorted(highest_S, (np.abs(units_UQ) - mean_Q) / spread_Q))
        / (SHIFTS + 1)
        for name, units_UQ in here.items()
    }


def _sift(
    trace: Trace,
    track: str,
    questions: Sequence[_Question],
    here_UQ: Floats,
    there_UQ: Floats,
    p_UQ: npt.NDArray[Any],
    bar_Q: Floats,
) -> Iterator[Find]:
    """One track's finds."""
    z_UQ, again_UQ = _fisher(here_UQ), _fisher(there_UQ)
    good_UQ = (p_UQ <= LEVEL) & (z_UQ >= bar_Q) & (again_UQ >= bar_Q)
    good_UQ &= (np.abs(here_UQ) >= LEAST) & (np.sign(here_UQ) == np.sign(there_UQ))
    size = trace.tracks[track].shape[2]
    for u in np.flatnonzero(good_UQ.any(axis=1)).tolist():
        for q in _told(questions, np.flatnonzero(good_UQ[u]).tolist(), z_UQ[u]):
            question = questions[q]
            value, confirmed = float(here_UQ[u, q]), float(there_UQ[u, q])
            if question.measure == "auc":
                value, confirmed = (value + 1) / 2, (confirmed + 1) / 2
            yield Find(
                Unit(track, *divmod(u, size)),
                question.feature.name,
                question.measure,
                value,
                confirmed,
                float(p_UQ[u, q]),
                question.wavelength,
            )


def _told(questions: Sequence[_Question], good: Sequence[int], z_Q: Floats) -> Iterator[int]:
    """Of a unit's answers about a position, the best sine, and only where it beats a line."""
    sines: dict[str, int] = {}
    for q in good:
        if questions[q].measure != "sine":
            yield q
        else:
            name = questions[q].feature.name
            best = sines.setdefault(name, q)
            sines[name] = q if z_Q[q] > z_Q[best] else best
    for name, q in sines.items():
        line = next(
            i for i, ask in enumerate(questions) if (ask.feature.name, ask.measure) == (name, "r")
        )
        if z_Q[q] > z_Q[line] + MARGIN:
            yield q


def _fisher(strengths: Floats) -> Floats:
    """Fisher's z of |strength|: of about the same spread, however strong."""
    z: Floats = np.arctanh(np.minimum(np.abs(strengths), 0.9999))
    return z
