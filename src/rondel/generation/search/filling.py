"""Filling gaps in a text with a bidirectional model.

For each length that a gap may have, a beam search with the causal half proposes fillings, and Gibbs
sweeps (`gibbs.sweep`), in which every token is chosen given all the others, fit them to the text
after the gap. Fillings of all lengths are then ranked by one measure: the probability, by the
causal half, of the filling and of the text after it up to the next gap. By the chain rule it
compares fillings of different lengths. A gap of exactly one token needs no search: its tokens are
ranked by their probability given both sides. A gap is never filled with the unknown token, nor, at
word level, with white space.

Shapes: T time, B batch (fillings), L layers, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from rondel.checked import check_fields
from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.engine.probability import Doubles, gather, largest, log_softmax
from rondel.errors import InputError
from rondel.generation.sampling.sampler import draw, stream_rng
from rondel.generation.search.gap_beam import extend_beams, state_of_rows
from rondel.generation.search.gaps import Segment, put_together, split_at_gaps
from rondel.generation.search.gibbs import sweep
from rondel.text.tokenizers import Tokenizer

GAP = "___"
LOOK_AHEAD = 64
"""Tokens of the text after a gap by which its fillings are ranked."""
KEPT_BETWEEN_GAPS = 4
MOST_TOKENS = 256
"""The longest gap that can be asked for; for more, write a text with `rondel sample`."""
LONGEST, LONGEST_IN_WORDS = 12, 3
"""The longest gap by default, in tokens."""

Watch = Callable[[float], None]
"""Called with the fraction that is done."""


@dataclass(frozen=True)
class FillSettings:
    """How to fill gaps. Raises `InputError` for an invalid value.

    `gap` is the mark of a gap in the text. A gap has `length` tokens, or if that is `None` any
    number up to `max_length` (`None`: 3 words, or 12 of other tokens). The search keeps `width`
    fillings at a time, makes `sweeps` sweeps over each, and returns the `best`; `seed` is that of
    its draws.

    >>> FillSettings(best=3, length=2).sweeps
    4
    """

    gap: str = GAP
    length: int | None = None
    max_length: int | None = None
    best: int = 5
    width: int = 16
    sweeps: int = 4
    seed: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.gap:
            raise InputError("the mark of a gap is empty; give one, such as ___")
        for name in ("length", "max_length", "best", "width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
            if value is not None and name.endswith("length") and value > MOST_TOKENS:
                raise InputError(f"{name} must be at most {MOST_TOKENS} tokens, not {value}")
        for name in ("sweeps", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.length is not None and self.max_length is not None:
            raise InputError("give a length or a max_length, not both")

    def lengths(self, tokenizer: Tokenizer) -> range:
        """Return the numbers of tokens that a gap may have."""
        if self.length is not None:
            return range(self.length, self.length + 1)
        longest = self.max_length or (LONGEST_IN_WORDS if tokenizer.whole_words else LONGEST)
        return range(1, longest + 1)


class FillKeywords(TypedDict, total=False):
    """The fields of `FillSettings`, for type checkers."""

    gap: str
    length: int | None
    max_length: int | None
    best: int
    width: int
    sweeps: int
    seed: int


@dataclass(frozen=True)
class Filled:
    """A text with its gaps filled; `fillings` has the text of each, in order.

    `log_probability` is ln p, by the causal half, of the fillings and of the text by which they are
    ranked, each token given those before it. `pseudo_log_likelihood` is the sum of ln p of the
    fillings' tokens, each given all the others. Both are in nats, and not comparable to each other.
    """

    text: str
    fillings: tuple[str, ...]
    log_probability: float
    pseudo_log_likelihood: float


@dataclass(frozen=True)
class _Partial:
    """A text filled up to some gap: its tokens, and the causal half's state after them."""

    tokens: tuple[int, ...]
    gaps: tuple[slice, ...]
    state: EngineState
    log_probability: float


def fill(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    text: str,
    settings: FillSettings,
    watch: Watch = lambda fraction: None,
) -> list[Filled]:
    """Return the best ways to fill the gaps of a text, best first; the rest stays unchanged.

    Raises `InputError` if the text has no gap, or one that touches a word at word level.
    """
    first, *others = segments = split_at_gaps(tokenizer, text, settings.gap)
    fillers = _Fillers(engine, tokenizer, settings)
    state = engine.causal.advance(first.ids[:, None], engine.causal.initial_state())
    candidates = [_Partial(tuple(first.ids.tolist()), (), state, 0.0)]
    for number, segment in enumerate(others):
        fillers.watch = _within(watch, number, len(others))
        filled_on = fillers.fill_all(candidates, segment.ids)
        candidates = sorted(filled_on, key=lambda child: -child.log_probability)
        candidates = candidates[: max(settings.best, KEPT_BETWEEN_GAPS)]
    filled = [_finished(engine, tokenizer, candidate, segments) for candidate in candidates]
    if settings.length == 1 and len(others) == 1:
        filled.sort(key=lambda one: -one.pseudo_log_likelihood)
    return filled[: settings.best]


class _Fillers:
    """Fills one gap at a time, of one or several partly filled texts."""

    def __init__(
        self, engine: BidirectionalEngine, tokenizer: Tokenizer, settings: FillSettings
    ) -> None:
        self.engine, self.settings = engine, settings
        self.lengths = settings.lengths(tokenizer)
        self.barred_V = barred_tokens(tokenizer)
        self.rng = stream_rng(settings.seed)
        self.watch: Watch = lambda fraction: None

    def fill_all(self, parents: list[_Partial], following: Ids) -> list[_Partial]:
        """Return the best fillings of the same gap in several texts; `following` comes after it."""
        watch, filled = self.watch, []
        for number, parent in enumerate(parents):
            self.watch = _within(watch, number, len(parents))
            filled += self.fill_one(parent, following)
        return filled

    def fill_one(self, parent: _Partial, following: Ids) -> list[_Partial]:
        """Return the best fillings of the gap after a partly filled text."""
        reverse = self.engine.reverse
        after = reverse.advance(following[::-1, None], reverse.initial_state())
        found: list[tuple[float, tuple[int, ...]]] = []
        watch, total, done = self.watch, sum(self.lengths), 0
        for length in self.lengths:
            # Progress is counted in tokens, because longer fillings take longer.
            self.watch = _within(watch, done / length, total / length)
            done += length
            fillings_TB = self._candidates(parent.state, after, length)
            scores_B = self._scores(parent.state, fillings_TB, following)
            found += zip(scores_B.tolist(), map(tuple, fillings_TB.T.tolist()), strict=True)
            self.watch(1.0)
        found.sort(key=lambda one: -one[0])
        return [self._child(parent, following, *one) for one in found[: self.settings.width]]

    def _child(
        self, parent: _Partial, following: Ids, score: float, filling: tuple[int, ...]
    ) -> _Partial:
        added = np.concatenate([filling, following]).astype(np.int64)
        begin = len(parent.tokens)
        return _Partial(
            (*parent.tokens, *added.tolist()),
            (*parent.gaps, slice(begin, begin + len(filling))),
            self.engine.causal.advance(added[:, None], parent.state),
            parent.log_probability + score,
        )

    def _candidates(self, before: EngineState, after: EngineState, length: int) -> Ids:
        """Return different fillings (T, B) of one length."""
        if length == 1:
            logits_1V = self._allowed(self.engine.logits(before[0][-1], after[0][-1]))
            return largest(logits_1V[0], self.settings.width)[None].astype(np.int64)
        tokens_TB = self._beams(before, after, length)
        seen = [tokens_TB.copy()]
        width = tokens_TB.shape[1]
        befores, afters = _repeated(before, width), _repeated(after, width)
        for number in range(self.settings.sweeps):
            last = number == self.settings.sweeps - 1
            sweep(self.engine, tokens_TB, befores, afters, self._best if last else self._draw)
            self.watch((number + 1) / self.settings.sweeps)
            seen.append(tokens_TB.copy())
        return np.unique(np.concatenate(seen, axis=1), axis=1)

    def _beams(self, before: EngineState, after: EngineState, length: int) -> Ids:
        """Return the likeliest fillings (T, B) by the causal half, but the last token given both
        sides.
        """
        tokens_TB: Ids = np.zeros((0, 1), np.int64)
        scores_B, state = np.zeros(1), before
        for place in range(length):
            last = place == length - 1
            tops = state[0][-1]
            logits_BV = self.engine.logits(tops, np.broadcast_to(after[0][-1], tops.shape))
            if not last:
                logits_BV = self.engine.causal_logits(tops)
            logprobs_BV = log_softmax(self._allowed(logits_BV))
            tokens_TB, scores_B, rows = extend_beams(
                tokens_TB, scores_B, logprobs_BV, self.settings.width
            )
            if not last:
                state = self.engine.causal.advance(tokens_TB[-1:], state_of_rows(state, rows))
        return tokens_TB

    def _scores(self, before: EngineState, fillings_TB: Ids, following: Ids) -> Doubles:
        """Return ln p (B,), by the causal half, of fillings (T, B) and of the text after them."""
        width = fillings_TB.shape[1]
        ahead = np.repeat(following[:LOOK_AHEAD, None].astype(np.int64), width, axis=1)
        tokens_TB = np.concatenate([fillings_TB, ahead])
        state = _repeated(before, width)
        tops_TBH, _ = self.engine.before(tokens_TB, state)
        total_B = np.zeros(width)
        for tops_BH, tokens_B in zip(tops_TBH, tokens_TB, strict=True):
            total_B += gather(log_softmax(self.engine.causal_logits(tops_BH)), tokens_B)
        return total_B

    def _allowed(self, logits_BV: Floats) -> Doubles:
        """Return logits with the barred tokens at -inf."""
        allowed = logits_BV.astype(np.float64)
        allowed[:, self.barred_V] = -np.inf
        return allowed

    def _draw(self, logits_BV: Floats, place: int) -> Ids:
        return np.array([draw(logits_V, self.rng) for logits_V in self._allowed(logits_BV)])

    def _best(self, logits_BV: Floats, place: int) -> Ids:
        best: Ids = self._allowed(logits_BV).argmax(axis=1)
        return best


def barred_tokens(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """Return which tokens (V,) may not fill a gap: the unknown one, and white space among words."""
    barred_V = np.zeros(tokenizer.vocab_size, np.bool_)
    if tokenizer.implies_space:
        barred_V[:] = [tokenizer.token(i).isspace() for i in range(tokenizer.vocab_size)]
    if tokenizer.unknown_id is not None:
        barred_V[tokenizer.unknown_id] = True
    return barred_V


def _within(watch: Watch, number: float, of: float) -> Watch:
    """Return the watch of piece `number` of the work, which reports fractions of the whole."""
    return lambda fraction: watch((number + fraction) / of)


def _finished(
    engine: BidirectionalEngine, tokenizer: Tokenizer, filled: _Partial, segments: list[Segment]
) -> Filled:
    ids = np.array(filled.tokens)
    ((forth_NH, back_NH),) = engine.outputs([ids])
    edge_1H = np.zeros_like(forth_NH[:1])
    before = np.concatenate([edge_1H, forth_NH[:-1]])
    after = np.concatenate([back_NH[1:], edge_1H])
    total = 0.0
    for gap in filled.gaps:
        total += float(gather(log_softmax(engine.logits(before[gap], after[gap])), ids[gap]).sum())
    fillings = [filled.tokens[gap] for gap in filled.gaps]
    return Filled(
        put_together(tokenizer, segments, fillings),
        tuple(tokenizer.decode(filling) for filling in fillings),
        filled.log_probability,
        total,
    )


def _repeated(state: EngineState, width: int) -> EngineState:
    """Repeat the state of one stream `width` times."""
    return tuple(np.repeat(layers_L1H, width, axis=1) for layers_L1H in state)
