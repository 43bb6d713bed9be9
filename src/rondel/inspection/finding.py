"""Find units whose values are associated with features of the text, with significance tests.

Units are scored on the first half of the text. To be a find, a score must be

- significant. The null distribution comes from circular shifts of the features by random distances,
  which keep the autocorrelation of features and units and break their association. Each shift
  counts with its largest score of any unit on any feature, standardised per feature (the maximum
  statistic of Westfall and Young 1993): this corrects for the number of units and features tested;
- above that of untrained units. The states of any network reflect the last few tokens, so the best
  scores of control models with shuffled weights set a threshold;
- confirmed on the second half of the text.

Shapes: N tokens, U units, Q questions (a feature and a measure), C columns to correlate with,
S shifts, R controls.
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
from rondel.inspection.sentence_reader import ENCODER, ENCODER_BACKWARD
from rondel.inspection.text_reader import BACKWARD
from rondel.inspection.trace import Trace, Unit

SHIFTS = 199
SIGNIFICANCE = 0.05
SINE_MARGIN = 0.15
"""By how much a sine must exceed the straight line, in Fisher's z, to be reported."""

CONTROL_DEVIATIONS, MIN_DEVIATION = 6.0, 0.05
"""The threshold is so many standard deviations above the controls' mean best, in Fisher's z.

The maximum of many scores has a long-tailed (Gumbel) distribution, and its standard deviation is
estimated from a few controls; it is taken to be at least `MIN_DEVIATION`.
"""

MIN_STRENGTH = 0.3
"""The least strength to report, however significant."""

MIN_RUNS = 5
"""How often a feature must start and stop in each half to be tested."""

MAX_TOKENS = 20_000
"""Most tokens of each half to use."""

SHORTEST_WAVELENGTH, WAVELENGTHS = 4.0, 8
FINDING_TRACKS = tuple(
    stack + state
    for stack in ("", BACKWARD, ENCODER, ENCODER_BACKWARD)
    for state in ("hidden", "cell")
)


@dataclass(frozen=True)
class Find:
    """A unit associated with a feature.

    `measure` says what `value` (on the first half of the text) and `confirmed_value` (on the
    second) are: "auc", the area under the ROC curve, below 0.5 if the unit is lower where the
    feature holds; "r", Pearson's correlation; "sine", the correlation with the best-fitting sine of
    `wavelength` tokens. `p_value` is corrected for all units and features tested.
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
        """Columns to correlate units with (N, 1 or 2): centred and orthonormal."""
        values = self.feature.values[part].astype(np.float64)
        if self.wavelength is None:
            columns = values[:, None]
        else:
            angle = 2 * np.pi * values / self.wavelength
            columns = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        q, r = np.linalg.qr(columns - columns.mean(axis=0))
        # QR may flip a column's sign.
        orthonormal: Floats = (q * np.sign(np.diag(r))).astype(np.float32)
        return orthonormal


def find(
    trace: Trace,
    features: Sequence[Feature],
    controls: Sequence[Trace],
    *,
    tracks: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Find]:
    """Find the units associated with a feature, the strongest first.

    `controls` are traces of the same text, or of its `first_half`, by control models. `tracks`
    names the tracks to search; default: hidden and cell states. Raises `InputError` if the text is
    too short to be halved.
    """
    chosen = [name for name in tracks or FINDING_TRACKS if name in trace.tracks]
    first, second = _halves(len(trace))
    questions = _questions(features, first, second)
    if not questions:
        return []
    scorer, confirming = _Scorer(questions, first), _Scorer(questions, second)
    found = {name: scorer.strengths(_columns(trace, name, first)) for name in chosen}
    confirmed = {name: confirming.strengths(_columns(trace, name, second)) for name in chosen}
    bar_Q = _threshold([scorer.best(control, chosen) for control in controls], len(questions))
    null_SQ = scorer.null([_columns(trace, name, first) for name in chosen], seed)
    p = _p_values(found, null_SQ)
    finds = [
        find
        for name in chosen
        for find in _select(trace, name, questions, found[name], confirmed[name], p[name], bar_Q)
    ]
    return sorted(finds, key=lambda find: -min(find.strength, 1.0))


def first_half(count: int) -> int:
    """The number of tokens that units are scored on first: all that a control has to read."""
    return min(count // 2, MAX_TOKENS)


def _threshold(best_RQ: Sequence[Floats], questions: int) -> Floats:
    """The threshold (Q,) of finds in Fisher's z, from each control's best scores."""
    if not best_RQ:
        return np.zeros(questions, np.float32)
    z_RQ = _fisher(np.stack(best_RQ))
    deviation_Q = np.maximum(z_RQ.std(axis=0, ddof=min(1, len(z_RQ) - 1)), MIN_DEVIATION)
    threshold: Floats = z_RQ.mean(axis=0) + CONTROL_DEVIATIONS * deviation_Q
    return threshold


def _halves(count: int) -> tuple[slice, slice]:
    if count < 200:
        raise InputError(
            f"{count} tokens are too few to find units with: give a text of 200 or more"
        )
    half = count // 2
    return slice(0, first_half(count)), slice(half, min(count, half + MAX_TOKENS))


def _questions(features: Sequence[Feature], first: slice, second: slice) -> list[_Question]:
    """The questions that both halves have enough data for."""
    questions = []
    for feature in features:
        if any(_runs(feature.values[part]) < MIN_RUNS for part in (first, second)):
            continue
        questions.append(_Question(feature, "r" if feature.is_number else "auc"))
        if feature.is_position:
            longest = 2 * float(np.quantile(feature.values[first], 0.95))
            if longest > SHORTEST_WAVELENGTH:
                wavelengths = np.geomspace(SHORTEST_WAVELENGTH, longest, WAVELENGTHS)
                questions += [_Question(feature, "sine", float(wave)) for wave in wavelengths]
    return questions


def _runs(values: Floats) -> int:
    """How often a feature starts and stops."""
    return int(np.count_nonzero(np.diff(values))) // 2


def _columns(trace: Trace, track: str, part: slice) -> Floats:
    """A track's units as columns (N, U)."""
    array: Floats = trace.tracks[track][part]
    return array.reshape(len(array), -1)


class _Scorer:
    """Scores units on questions over one part of a text."""

    def __init__(self, questions: Sequence[_Question], part: slice) -> None:
        self.questions = questions
        self.is_ranked = np.array([question.measure == "auc" for question in questions])
        columns = [question.columns(part) for question in questions]
        self.question_C = np.repeat(np.arange(len(columns)), [c.shape[1] for c in columns])
        self.columns_NC = np.concatenate(columns, axis=1)
        mean_Q = np.array([q.feature.values[part].mean() for q in questions])
        self.spread_Q = np.where(self.is_ranked, np.sqrt(np.abs(mean_Q * (1 - mean_Q))), 1.0)

    def strengths(self, units_NU: Floats) -> Floats:
        """Each unit's strength on each question (U, Q): 2 AUC - 1, r, or a sine's correlation."""
        raw, ranked, scale = _normalise(units_NU)
        return self._strengths(raw, ranked, scale, self.columns_NC)

    def best(self, trace: Trace, tracks: Sequence[str]) -> Floats:
        """The largest |strength| of any of a trace's units on each question (Q,)."""
        part = slice(0, len(self.columns_NC))
        strengths = [np.abs(self.strengths(_columns(trace, name, part))) for name in tracks]
        strongest: Floats = np.concatenate(strengths).max(axis=0)
        return strongest

    def null(self, tracks: Sequence[Floats], seed: int) -> Floats:
        """The largest |strength| of any unit on each question after each shift (S, Q)."""
        rng = np.random.default_rng(seed)
        count = len(self.columns_NC)
        guard = min(count // 10, 500)
        shifts = rng.integers(guard, count - guard, SHIFTS)
        best = np.zeros((SHIFTS, len(self.questions)), np.float32)
        for units_NU in tracks:
            raw, ranked, scale = _normalise(units_NU)
            for s, shift in enumerate(shifts):
                shifted = np.roll(self.columns_NC, shift, axis=0)
                strengths = np.abs(self._strengths(raw, ranked, scale, shifted)).max(axis=0)
                best[s] = np.maximum(best[s], strengths)
        return best

    def _strengths(
        self, raw_NU: Floats, ranked_NU: Floats, scale_U: Floats, columns_NC: Floats
    ) -> Floats:
        by_rank = self.is_ranked[self.question_C]
        r_UC = np.empty((raw_NU.shape[1], columns_NC.shape[1]), np.float32)
        r_UC[:, by_rank] = ranked_NU.T @ columns_NC[:, by_rank]
        r_UC[:, ~by_rank] = raw_NU.T @ columns_NC[:, ~by_rank]
        begins = np.flatnonzero(np.diff(self.question_C, prepend=-1))
        squares = np.add.reduceat(r_UC**2, begins, axis=1)
        signs = np.where(np.bincount(self.question_C) > 1, 1.0, np.sign(r_UC[:, begins]))
        strengths = np.sqrt(squares) * signs
        # 2 AUC - 1 is the correlation of ranks with 0 and 1 times these two factors.
        auc = 2 * strengths * scale_U[:, None] / self.spread_Q
        return np.clip(np.where(self.is_ranked, auc, strengths), -1, 1).astype(np.float32)


def _normalise(units_NU: Floats) -> tuple[Floats, Floats, Floats]:
    """Units and their ranks, centred and of length 1 (N, U), and the spread of the ranks (U,)."""
    ranks_NU = np.empty_like(units_NU)
    for u in range(units_NU.shape[1]):
        ranks_NU[:, u] = _ranks(units_NU[:, u])
    spread_U = (ranks_NU.std(axis=0) / len(ranks_NU)).astype(np.float32)
    return _unit_length(units_NU), _unit_length(ranks_NU), spread_U


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; ties have their mean rank."""
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


def _unit_length(columns: Floats) -> Floats:
    centred = columns - columns.mean(axis=0, dtype=np.float64)
    length = np.sqrt((centred**2).sum(axis=0))
    # A constant unit is zero, not scaled-up rounding errors.
    constant = length < 1e-5 * np.sqrt(len(columns))
    scaled: Floats = np.where(constant, 0.0, centred / np.where(constant, 1.0, length))
    return scaled.astype(np.float32)


def _p_values(found: Mapping[str, Floats], null_SQ: Floats) -> dict[str, npt.NDArray[Any]]:
    """The share of shifts in which any unit scores as high on any question: (U, Q) by track."""
    mean_Q, spread_Q = null_SQ.mean(axis=0), null_SQ.std(axis=0) + 1e-6
    highest_S = np.sort(((null_SQ - mean_Q) / spread_Q).max(axis=1))
    return {
        name: (1 + SHIFTS - np.searchsorted(highest_S, (np.abs(units_UQ) - mean_Q) / spread_Q))
        / (SHIFTS + 1)
        for name, units_UQ in found.items()
    }


def _select(
    trace: Trace,
    track: str,
    questions: Sequence[_Question],
    found_UQ: Floats,
    confirmed_UQ: Floats,
    p_UQ: npt.NDArray[Any],
    bar_Q: Floats,
) -> Iterator[Find]:
    """One track's finds."""
    z_UQ, confirmed_z_UQ = _fisher(found_UQ), _fisher(confirmed_UQ)
    good_UQ = (p_UQ <= SIGNIFICANCE) & (z_UQ >= bar_Q) & (confirmed_z_UQ >= bar_Q)
    good_UQ &= (np.abs(found_UQ) >= MIN_STRENGTH) & (np.sign(found_UQ) == np.sign(confirmed_UQ))
    size = trace.tracks[track].shape[2]
    for u in np.flatnonzero(good_UQ.any(axis=1)).tolist():
        for q in _without_worse_sines(questions, np.flatnonzero(good_UQ[u]).tolist(), z_UQ[u]):
            question = questions[q]
            value, confirmed = float(found_UQ[u, q]), float(confirmed_UQ[u, q])
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


def _without_worse_sines(
    questions: Sequence[_Question], good: Sequence[int], z_Q: Floats
) -> Iterator[int]:
    """Drop a unit's sines but the best for each position, and that if a line fits as well."""
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
            i
            for i, other in enumerate(questions)
            if (other.feature.name, other.measure) == (name, "r")
        )
        if z_Q[q] > z_Q[line] + SINE_MARGIN:
            yield q


def _fisher(strengths: Floats) -> Floats:
    """Fisher's z of |strength|, whose variance hardly depends on the strength."""
    z: Floats = np.arctanh(np.minimum(np.abs(strengths), 0.9999))
    return z
