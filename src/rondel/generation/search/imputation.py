"""Imputation: fill in missing words of a sentence with a sentence VAE (Bowman, Vilnis et al. 2016).

Given a point z, a beam search goes through the sentence from its beginning: it reads known words,
writes into gaps, and ranks what it wrote by the known words after the gap. The first points are the
origin and the mean of q(z|x) of the known words alone; the next are the means of the best sentences
found, repeatedly (iterated conditional modes). At the end all sentences are ranked by a lower bound
on ln p(x), with z integrated out.

Shapes: B batch, Z latent size, V vocabulary, S samples, T time, L layers, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.probability import Doubles, gather, log_softmax
from rondel.engine.sentence_vae_engine import SentenceVAEEngine
from rondel.errors import InputError
from rondel.generation.sampling.sampler import draw_latents
from rondel.generation.search.filling import FillSettings, barred_tokens
from rondel.generation.search.gap_beam import extend_beams, state_of_rows
from rondel.generation.search.gaps import Segment, put_together, split_at_gaps
from rondel.text.one_sentence import END, end_id, shown
from rondel.text.tokenizers import Tokenizer

KEPT = 4
"""How many sentences' means the next search starts from, and how many fillings of a gap it keeps
at the next gap."""
SAMPLES = 16
LARGEST_LOGITS = 4_000_000

Fillings = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Imputed:
    """A sentence with its gaps filled; `fillings` has the text of each, in order.

    `log_probability` is an importance-weighted lower bound on ln p of the whole sentence, in nats,
    with the same draws for every sentence.
    """

    text: str
    fillings: tuple[str, ...]
    log_probability: float


class _Beam(NamedTuple):
    """A sentence filled up to some gap, and the decoder's logits and state there."""

    fillings: Fillings
    score: float
    logits_V: Floats
    state: EngineState


def impute(
    engine: SentenceVAEEngine,
    tokenizer: Tokenizer,
    sentence: str,
    settings: FillSettings,
    longest: int | None = None,
    watch: Callable[[float], None] = lambda fraction: None,
) -> list[Imputed]:
    """Return the best ways to fill the gaps of a sentence, best first; the rest stays unchanged.

    Raises `InputError` if it has no gap or is more than one line, if a gap touches a word, or if
    its known words are more than `longest` tokens.
    """
    line = sentence.strip()
    if END in line:
        raise InputError(f"{shown(line)} is more than one line, and a sentence is one; split it")
    # Between line breaks, as the sentences of the training text were.
    segments = split_at_gaps(tokenizer, END + line + END, settings.gap)
    search = _Search(engine, tokenizer, segments, settings, longest)
    found: dict[Fillings, float] = {}
    points = search.first_points()
    for number in range(settings.sweeps + 1):
        fresh = [f for f in search.complete(points) if f not in found]
        found.update(zip(fresh, search.bounds(fresh), strict=True))
        watch((number + 1) / (settings.sweeps + 1))
        if not fresh:
            break
        points = search.means(sorted(found, key=lambda f: -found[f])[:KEPT])
    best = sorted(found.items(), key=lambda item: -item[1])[: settings.best]
    return [
        Imputed(
            put_together(tokenizer, segments, fillings).strip(END),
            tuple(tokenizer.decode(filling) for filling in fillings),
            bound,
        )
        for fillings, bound in best
    ]


class _Search:
    """The search for the fillings of one sentence."""

    def __init__(
        self,
        engine: SentenceVAEEngine,
        tokenizer: Tokenizer,
        segments: Sequence[Segment],
        settings: FillSettings,
        longest: int | None,
    ) -> None:
        self.engine, self.segments, self.settings = engine, segments, settings
        self.tokenizer = tokenizer
        self.lengths = settings.lengths(tokenizer)
        self.barred_V = barred_tokens(tokenizer)
        self.barred_V[end_id(tokenizer)] = True
        known = sum(len(segment.ids) for segment in segments) - 2
        gaps = len(segments) - 1
        self.room = (longest or known + gaps * self.lengths[-1]) - known
        """The most tokens that all gaps may have together."""
        if gaps <= self.room < gaps * self.lengths[0]:
            raise InputError(
                f"beside the {known} {tokenizer.token_noun}s of the sentence, its gaps may have "
                f"{self.room} together, since this model reads sentences of up to {longest}; give "
                "a smaller length"
            )
        if self.room < gaps:
            raise InputError(
                f"the sentence has {known} {tokenizer.token_noun}s beside its gaps, and this model "
                f"reads sentences of up to {longest}; shorten it"
            )
        self.noise_SZ = draw_latents(settings.seed, SAMPLES, engine.latent_size)

    def first_points(self) -> Floats:
        """Return the origin, and the mean of q(z|x) for the known words."""
        known = np.concatenate([segment.ids for segment in self.segments])[1:]
        means, _ = self.engine.encode([known])
        return np.concatenate([np.zeros_like(means), means])

    def means(self, found: Sequence[Fillings]) -> Floats:
        """Return the mean of q(z|x) for each sentence."""
        return self.engine.encode([self.ids(fillings)[1:] for fillings in found])[0]

    def ids(self, fillings: Fillings) -> Ids:
        """Return the token ids of a whole sentence, including the line breaks around it."""
        pieces: list[Any] = [self.segments[0].ids]
        for filling, segment in zip(fillings, self.segments[1:], strict=True):
            pieces += [filling, segment.ids]
        return np.concatenate(pieces).astype(np.int64)

    def complete(self, points: Floats) -> list[Fillings]:
        """Return the best fillings of all gaps at each of the points, each once."""
        found: dict[Fillings, None] = {}
        for z_Z in points:
            state = self.engine.initial_state(z_Z[None])
            first = self.segments[0].ids.astype(np.int64)
            logits_TBV, state = self.engine.decoder.sequence(first[:, None], state)
            beams = [_Beam((), 0.0, logits_TBV[-1, 0], state)]
            for number, segment in enumerate(self.segments[1:], 1):
                later = (len(self.segments) - 1 - number) * self.lengths[0]
                filled = [child for beam in beams for child in self.fill_one(beam, segment, later)]
                filled.sort(key=lambda beam: -beam.score)
                beams = filled[: self.settings.width if later == 0 else KEPT]
            found.update(dict.fromkeys(beam.fillings for beam in beams))
        return list(found)

    def fill_one(self, parent: _Beam, segment: Segment, later: int) -> list[_Beam]:
        """Return beams with the gap before a segment filled, ranked by that segment too.

        At least `later` tokens are left for the gaps after it.
        """
        used = sum(map(len, parent.fillings))
        tokens_TB: Ids = np.zeros((0, 1), np.int64)
        scores_B, logits_BV, state = np.zeros(1), parent.logits_V[None], parent.state
        filled: list[_Beam] = []
        for length in range(1, min(self.lengths[-1], self.room - used - later) + 1):
            logprobs_BV = log_softmax(logits_BV)
            logprobs_BV[:, self.barred_V] = -np.inf
            tokens_TB, scores_B, rows = extend_beams(
                tokens_TB, scores_B, logprobs_BV, self.settings.width
            )
            logits_BV, state = self.engine.decoder.step(tokens_TB[-1], state_of_rows(state, rows))
            if length in self.lengths:
                filled += self._scored(parent, tokens_TB, scores_B, logits_BV, state, segment)
        return filled

    def _scored(
        self,
        parent: _Beam,
        tokens_TB: Ids,
        scores_B: Doubles,
        logits_BV: Floats,
        state: EngineState,
        segment: Segment,
    ) -> list[_Beam]:
        """Return beams at the end of the segment, their scores with ln p of the segment."""
        count = tokens_TB.shape[1]
        scores_B = scores_B.copy()
        if len(segment.ids):
            after_TB = np.repeat(segment.ids.astype(np.int64)[:, None], count, axis=1)
            logits_TBV, state = self.engine.decoder.sequence(after_TB, state)
            predicting = [logits_BV, *logits_TBV[:-1]]
            for logits, tokens_B in zip(predicting, after_TB, strict=True):
                scores_B += gather(log_softmax(logits), tokens_B)
            logits_BV = logits_TBV[-1]
        return [
            _Beam(
                (*parent.fillings, tuple(tokens_TB[:, row].tolist())),
                parent.score + float(scores_B[row]),
                logits_BV[row],
                state_of_rows(state, np.array([row])),
            )
            for row in range(count)
        ]

    def bounds(self, found: Sequence[Fillings]) -> list[float]:
        """Return the importance-weighted bound on ln p of each sentence (Burda et al. 2016)."""
        return [self._bound(self.ids(fillings)) for fillings in found]

    def _bound(self, ids: Ids) -> float:
        means, log_variances = self.engine.encode([ids[1:]])
        z_SZ = means + np.exp(0.5 * log_variances) * self.noise_SZ
        prior_S = -0.5 * (z_SZ.astype(np.float64) ** 2).sum(axis=1)
        posterior_S = -0.5 * (self.noise_SZ.astype(np.float64) ** 2 + log_variances).sum(axis=1)
        total_S = prior_S - posterior_S
        state = self.engine.initial_state(z_SZ)
        step = max(1, LARGEST_LOGITS // (SAMPLES * self.tokenizer.vocab_size))
        inputs, targets = ids[:-1], ids[1:]
        for begin in range(0, len(inputs), step):
            block = slice(begin, begin + step)
            tokens_TS = np.repeat(inputs[block, None], SAMPLES, axis=1)
            logits_TSV, state = self.engine.decoder.sequence(tokens_TS, state)
            for logits_SV, target in zip(logits_TSV, targets[block], strict=True):
                total_S += log_softmax(logits_SV)[:, target]
        top = total_S.max()
        return float(top + np.log(np.exp(total_S - top).mean()))
