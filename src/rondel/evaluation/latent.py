"""How a sentence VAE does on sentences: the ELBO, and a closer bound on the likelihood.

Sums over the tokens of a sentence, its end among them, and means over sentences: in nats.

Shapes: N sentences, Z latent size, K samples, T time, B batch, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.checked import Natural, Positive, checked
from rondel.engine.base import Floats, Ids
from rondel.engine.probability import chosen, log_sum_exp
from rondel.engine.sentence_vae import SentenceVAEEngine
from rondel.errors import InputError
from rondel.evaluation.reading import Watch, unwatched
from rondel.text.one_sentence import of_unknowns_only

ACTIVE = 0.01
"""What the means of a dimension that is used vary by at least (Burda et al. 2016)."""
LARGEST_LOGITS = 8_000_000
"""Logits of sentences that are read side by side."""
PADDING = -1

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LatentEvaluation:
    """Totals over all sentences, in nats, of bounds from above on -ln p(x).

    `nll` is the mean of -ln p(x|z) over `iw_samples` draws of z from q(z|x), `kl` the divergence
    of q(z|x) from N(0, I); together they are the negative ELBO. `iw_nll` is the importance-weighted
    bound of the same draws (Burda et al. 2016), which is never worse and comes to -ln p(x) itself
    as they grow many. `tokens` counts every sentence's end too, `unknown` those that the model does
    not know, and `unknown_only` the sentences that have no others: both are scored as any other.

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
        """The negative evidence lower bound, of all sentences."""
        return self.nll + self.kl

    @property
    def perplexity(self) -> float:
        """Perplexity per token by the importance-weighted bound."""
        return math.exp(min(self.iw_nll / self.tokens, 700.0))

    @property
    def elbo_perplexity(self) -> float:
        """Perplexity per token by the ELBO."""
        return math.exp(min(self.negative_elbo / self.tokens, 700.0))

    def to_json(self) -> dict[str, Any]:
        """Every figure, under a name that says its unit."""
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
    sentences: Sequence[Ids],
    unknown_id: int | None,
    *,
    iw_samples: Positive = 10,
    seed: Natural = 1,
    watch: Watch = unwatched,
) -> LatentEvaluation:
    """Evaluate sentences, each the ids of its tokens and of its end.

    Each is scored alone, whatever the order. Raises `InputError` without a sentence or a sample.
    """
    if not sentences:
        raise InputError("there is no sentence to evaluate; give a text of one sentence a line")
    if iw_samples < 1:
        raise InputError(f"the samples must be at least 1, not {iw_samples}")
    means_NZ, log_variances_NZ = engine.encode(sentences)
    nll_N, bound_N = np.zeros((2, len(sentences)))
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    tokens, read = sum(map(len, sentences)), 0
    while order:
        # Of the longest that are left, as many as fit.
        width = max(
            1,
            LARGEST_LOGITS // (len(sentences[order[-1]]) * engine.config.vocab_size * iw_samples),
        )
        batch, order = order[-width:], order[:-width]
        noise_BKZ = np.stack(
            [_noise(seed, sentences[i], iw_samples, engine.latent_size) for i in batch]
        )
        nll_BK, log_ratio_BK = _sampled(
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
    return LatentEvaluation(
        sentences=len(sentences),
        tokens=tokens,
        unknown=sum(int((ids == unknown_id).sum()) for ids in sentences),
        unknown_only=sum(of_unknowns_only(ids, unknown_id) for ids in sentences),
        nll=float(nll_N.sum()),
        kl=float(kl_N.sum()),
        iw_nll=float(bound_N.sum()),
        iw_samples=iw_samples,
        active_units=int((means.var(axis=0) > ACTIVE).sum()),
        latent_size=engine.latent_size,
    )


def _noise(seed: int, ids: Ids, samples: int, size: int) -> Numbers:
    """What a sentence's draws are made of: the same wherever it stands."""
    return np.random.default_rng([seed, *ids.tolist()]).standard_normal((samples, size))


def _sampled(
    engine: SentenceVAEEngine,
    sentences: Sequence[Ids],
    means_BZ: Floats,
    log_variances_BZ: Floats,
    noise_BKZ: Numbers,
) -> tuple[Numbers, Numbers]:
    """-ln p(x|z) and ln p(z) - ln q(z|x) (B, K) of draws of z."""
    size, samples, latent_size = noise_BKZ.shape
    deviations_BZ = np.exp(0.5 * log_variances_BZ.astype(np.float64))
    z_BKZ = means_BZ[:, None] + deviations_BZ[:, None] * noise_BKZ
    # The normal densities' constants are the same on both sides.
    log_ratio_BK = 0.5 * (noise_BKZ**2 + log_variances_BZ[:, None] - z_BKZ**2).sum(axis=2)
    repeated = [ids for ids in sentences for _ in range(samples)]
    z_RZ = z_BKZ.reshape(size * samples, latent_size).astype(np.float32)
    return negative_log_likelihoods(engine, repeated, z_RZ).reshape(size, samples), log_ratio_BK


def negative_log_likelihoods(
    engine: SentenceVAEEngine, sentences: Sequence[Ids], z_NZ: Floats
) -> Numbers:
    """-ln p(x|z) (N,) of each sentence at its own point, its end included."""
    lengths_N = np.array([len(ids) for ids in sentences])
    targets_TN = np.full((lengths_N.max(), len(sentences)), PADDING, np.int64)
    for n, ids in enumerate(sentences):
        targets_TN[: len(ids), n] = ids
    # Every sentence ends with the symbol that it begins after.
    starts_1N = np.array([[ids[-1] for ids in sentences]])
    inputs_TN = np.maximum(np.concatenate([starts_1N, targets_TN[:-1]]), 0)
    logits_TNV, _ = engine.decoder.sequence(inputs_TN, engine.initial_state(z_NZ))
    total_N = np.zeros(len(sentences))
    for logits_NV, targets_N in zip(logits_TNV, targets_TN, strict=True):
        rows = np.flatnonzero(targets_N != PADDING)
        logits = logits_NV[rows].astype(np.float64)
        total_N[rows] += log_sum_exp(logits) - chosen(logits, targets_N[rows])
    return total_N
