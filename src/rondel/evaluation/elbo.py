"""Evaluate a sentence VAE: the ELBO, and the tighter importance-weighted bound, in nats.

A sentence's figures are sums over its tokens, the end symbol included.

Shapes: N sentences, Z latent size, K samples, T time, B batch, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.checked import Natural, Positive, checked
from rondel.engine.base import Floats, Ids
from rondel.engine.probability import gather, log_sum_exp
from rondel.engine.sentence_vae_engine import SentenceVAEEngine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, unwatched
from rondel.text.one_sentence import of_unknowns_only

ACTIVE = 0.01
"""Variance of the posterior means above which a latent unit is active (Burda et al. 2016)."""
LARGEST_LOGITS = 8_000_000
"""Largest number of logits in one batch."""
TOGETHER = 1 << 14
"""Sentences that are in memory together."""
PADDING = -1

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LatentEvaluation:
    """Totals over all sentences of upper bounds on -ln p(x), in nats.

    `nll` is the mean of -ln p(x|z) over `iw_samples` samples of z from q(z|x), `kl` the KL
    divergence of q(z|x) from N(0, I); their sum is the negative ELBO. `iw_nll` is the
    importance-weighted bound of the same samples (Burda et al. 2016), which is at least as tight
    and converges to -ln p(x) with the number of samples. `tokens` includes every sentence's end
    symbol; `unknown` counts tokens not in the vocabulary, and `unknown_only` sentences that have no
    others; both are scored like the rest.

    ::

        found = vae.evaluate_sentences(sentences, iw_samples=10)
        found.nll + found.kl                # the negative ELBO of all of them, in nats
    """

    sentences: int
    tokens: int
    unknown: int
    unknown_only: int
    nll: float
    kl: float
    iw_nll: float
    iw_samples: int
    active_units: int
    latent_size: int

    @property
    def negative_elbo(self) -> float:
        """The negative evidence lower bound, summed over sentences."""
        return self.nll + self.kl

    @property
    def perplexity(self) -> float:
        """Perplexity per token, from the importance-weighted bound."""
        return math.exp(min(self.iw_nll / self.tokens, 700.0))

    @property
    def elbo_perplexity(self) -> float:
        """Perplexity per token, from the ELBO."""
        return math.exp(min(self.negative_elbo / self.tokens, 700.0))

    def to_json(self) -> dict[str, Any]:
        """All figures, by name with unit."""
        per_sentence = {
            f"{name}_per_sentence": getattr(self, name) / self.sentences
            for name in ("nll", "kl", "negative_elbo", "iw_nll")
        }
        return {
            **asdict(self),
            **per_sentence,
            "iw_nll_per_token": self.iw_nll / self.tokens,
            "perplexity_per_token": self.perplexity,
            "elbo_perplexity_per_token": self.elbo_perplexity,
        }


@checked
def evaluate_sentences(
    engine: SentenceVAEEngine,
    sentences: Iterable[Ids],
    unknown_id: int | None,
    *,
    iw_samples: Positive = 10,
    seed: Natural = 1,
    watch: Watch = unwatched,
) -> LatentEvaluation:
    """Evaluate sentences, each given as its token ids and the end symbol's.

    They may be of any number, and are in memory some at a time. Their order has no effect on any of
    their figures. `watch` is called with the fraction done of those that are in memory. Raises
    `InputError` without a sentence or a sample.
    """
    if iw_samples < 1:
        raise InputError(f"the samples must be at least 1, not {iw_samples}")
    totals = _Totals(engine.latent_size)
    upcoming = iter(sentences)
    while some := list(itertools.islice(upcoming, TOGETHER)):
        totals.add(_evaluate_some(engine, some, iw_samples, seed, watch))
        totals.tokens += sum(map(len, some))
        totals.unknown += sum(int((ids == unknown_id).sum()) for ids in some)
        totals.unknown_only += sum(of_unknowns_only(ids, unknown_id) for ids in some)
    if not totals.sentences:
        raise InputError("there is no sentence to evaluate; give a text of one sentence a line")
    return LatentEvaluation(
        sentences=totals.sentences,
        tokens=totals.tokens,
        unknown=totals.unknown,
        unknown_only=totals.unknown_only,
        nll=totals.nll,
        kl=totals.kl,
        iw_nll=totals.iw_nll,
        iw_samples=iw_samples,
        active_units=int((totals.squares_Z / totals.sentences > ACTIVE).sum()),
        latent_size=engine.latent_size,
    )


class _Figures(NamedTuple):
    """Of some sentences: -ln p(x|z), the KL divergence, the bound (N,), and q's means (N, Z)."""

    nll_N: Numbers
    kl_N: Numbers
    bound_N: Numbers
    means_NZ: Numbers


class _Totals:
    """Sums over sentences, and the spread of their means (Chan, Golub & LeVeque 1979)."""

    def __init__(self, latent_size: int) -> None:
        self.sentences = self.tokens = self.unknown = self.unknown_only = 0
        self.nll = self.kl = self.iw_nll = 0.0
        self.mean_Z, self.squares_Z = np.zeros((2, latent_size))

    def add(self, some: _Figures) -> None:
        """Add the figures of some more sentences."""
        before, count = self.sentences, len(some.nll_N)
        self.sentences += count
        self.nll += float(some.nll_N.sum())
        self.kl += float(some.kl_N.sum())
        self.iw_nll += float(some.bound_N.sum())
        shift_Z = some.means_NZ.mean(axis=0) - self.mean_Z
        self.squares_Z += some.means_NZ.var(axis=0) * count
        self.squares_Z += shift_Z**2 * before * count / self.sentences
        self.mean_Z += shift_Z * count / self.sentences


def _evaluate_some(
    engine: SentenceVAEEngine,
    sentences: Sequence[Ids],
    iw_samples: int,
    seed: int,
    watch: Watch,
) -> _Figures:
    means_NZ, log_variances_NZ = engine.encode(sentences)
    nll_N, bound_N = np.zeros((2, len(sentences)))
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    tokens, read = sum(map(len, sentences)), 0
    while order:
        # As many of the longest remaining sentences as fit.
        width = max(
            1,
            LARGEST_LOGITS // (len(sentences[order[-1]]) * engine.config.vocab_size * iw_samples),
        )
        batch, order = order[-width:], order[:-width]
        noise_BKZ = np.stack(
            [_noise(seed, sentences[i], iw_samples, engine.latent_size) for i in batch]
        )
        nll_BK, log_ratio_BK = _sample_terms(
            engine,
            [sentences[i] for i in batch],
            means_NZ[batch],
            log_variances_NZ[batch],
            noise_BKZ,
        )
        nll_N[batch] = nll_BK.mean(axis=1)
        bound_N[batch] = math.log(iw_samples) - log_sum_exp(log_ratio_BK - nll_BK)
        read += sum(len(sentences[i]) for i in batch)
        watch(read / tokens)
    means, log_variances = means_NZ.astype(np.float64), log_variances_NZ.astype(np.float64)
    kl_N = 0.5 * (means**2 + np.exp(log_variances) - 1 - log_variances).sum(axis=1)
    return _Figures(nll_N, kl_N, bound_N, means)


def _noise(seed: int, ids: Ids, samples: int, size: int) -> Numbers:
    """Standard normal noise (K, Z), seeded by the sentence, so that batching has no effect."""
    return np.random.default_rng([seed, *ids.tolist()]).standard_normal((samples, size))


def _sample_terms(
    engine: SentenceVAEEngine,
    sentences: Sequence[Ids],
    means_BZ: Floats,
    log_variances_BZ: Floats,
    noise_BKZ: Numbers,
) -> tuple[Numbers, Numbers]:
    """-ln p(x|z) and ln p(z) - ln q(z|x), (B, K) each, of samples of z."""
    size, samples, latent_size = noise_BKZ.shape
    deviations_BZ = np.exp(0.5 * log_variances_BZ.astype(np.float64))
    z_BKZ = means_BZ[:, None] + deviations_BZ[:, None] * noise_BKZ
    # The constants of the two normal densities cancel.
    log_ratio_BK = 0.5 * (noise_BKZ**2 + log_variances_BZ[:, None] - z_BKZ**2).sum(axis=2)
    repeated = [ids for ids in sentences for _ in range(samples)]
    z_RZ = z_BKZ.reshape(size * samples, latent_size).astype(np.float32)
    return negative_log_likelihoods(engine, repeated, z_RZ).reshape(size, samples), log_ratio_BK


def negative_log_likelihoods(
    engine: SentenceVAEEngine, sentences: Sequence[Ids], z_NZ: Floats
) -> Numbers:
    """-ln p(x|z) (N,) of each sentence given its z, the end symbol included."""
    lengths_N = np.array([len(ids) for ids in sentences])
    targets_TN = np.full((lengths_N.max(), len(sentences)), PADDING, np.int64)
    for n, ids in enumerate(sentences):
        targets_TN[: len(ids), n] = ids
    # The end symbol is also the decoder's first input.
    starts_1N = np.array([[ids[-1] for ids in sentences]])
    inputs_TN = np.maximum(np.concatenate([starts_1N, targets_TN[:-1]]), 0)
    logits_TNV, _ = engine.decoder.sequence(inputs_TN, engine.initial_state(z_NZ))
    total_N = np.zeros(len(sentences))
    for logits_NV, targets_N in zip(logits_TNV, targets_TN, strict=True):
        rows = np.flatnonzero(targets_N != PADDING)
        logits = logits_NV[rows].astype(np.float64)
        total_N[rows] += log_sum_exp(logits) - gather(logits, targets_N[rows])
    return total_N
