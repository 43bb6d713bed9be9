"""The learner of a sentence VAE: its regularisation, its validation, and lagging updates.

Shapes: T time, B sentences of a batch, N sentences in all, Z latent size, S draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from rondel.data.batches import Batch
from rondel.data.sentence_batches import Sentences
from rondel.data.store import Ids
from rondel.kinds.sentence_vae_kind import LatentTraining
from rondel.models.base import TensorBatch
from rondel.models.sentence_vae_module import Regularisation, SentenceVAE, at, draw, kl_of
from rondel.settings import RunConfig
from rondel.text.one_sentence import end_id
from rondel.text.tokenizers import Tokenizer
from rondel.training.learner import Snapshot, StepResult
from rondel.training.torch_learner import TorchLearner

ACTIVE = 0.01
"""A dimension of z is active if the variance of its posterior mean is more (Burda et al. 2016)."""
MOST_COMPARED = 1000
"""The most sentences from which mutual information is estimated."""
WINDOW, MOST_AHEAD = 10, 100
"""Steps of the encoder alone over which losses are summed and compared, and the most in a row."""


class SentenceVAELearner(TorchLearner):
    """A `TorchLearner` of a `SentenceVAE`; the sentences of its text end with `end_id`."""

    def __init__(self, config: RunConfig, end_id: int) -> None:
        super().__init__(config)
        self.vae, self.end_id = cast(SentenceVAE, self.model), end_id
        self.latent = LatentTraining.of(config.training)
        self.vae.regularisation = Regularisation(
            self.latent.kl_annealing,
            self.latent.kl_annealing_steps,
            self.latent.beta,
            self.latent.word_dropout,
            self.latent.free_bits,
        )
        self._decoder = [
            *self.vae.decoder.core.parameters(),
            *self.vae.decoder.head.parameters(),
            *self.vae.state.parameters(),
        ]
        self._ahead = _Ahead() if self.latent.aggressive else None
        self.trains_in_parts = self.latent.aggressive

    def step(self, batch: Batch, learning_rate: float) -> StepResult:
        """See `Learner.step`; with `aggressive`, many early steps do not train the decoder."""
        alone = self._ahead is not None and self._ahead.encoder_alone
        for parameter in self._decoder:
            parameter.requires_grad_(not alone)
        result = super().step(batch, learning_rate)
        if self._ahead is not None:
            self._ahead.record_step(sum(result.terms.values()))
        return result

    @torch.no_grad()
    def validate(self, tokens: Ids) -> float:
        """Return the mean negative ELBO in nats per sentence; `figures` has its parts.

        Points are drawn from a separate generator, so that two validations of a model agree.
        """
        self.vae.eval()
        generator = torch.Generator().manual_seed(self.config.seed)
        sentences = Sentences(tokens, self.end_id)
        nll, weighted, mean_NZ, log_variance_NZ = self._measured(sentences, generator)
        kl = float(kl_of(mean_NZ, log_variance_NZ).sum(1).mean())
        nll /= len(sentences)
        information = mutual_information(mean_NZ, log_variance_NZ, generator)
        self.figures = {
            "nll": nll,
            "kl": kl,
            "elbo": -(nll + kl),
            "beta": self.vae.regularisation.weight(self.updates),
            "active_units": float((mean_NZ.var(0) > ACTIVE).sum()) if len(mean_NZ) > 1 else 0.0,
            "mutual_information": information,
        }
        if self.latent.iw_samples:
            self.figures["iw_nll"] = weighted / len(sentences)
        if self._ahead is not None:
            self._ahead.record_validation(information)
        return nll + kl

    def _measured(
        self, sentences: Sentences, generator: torch.Generator
    ) -> tuple[float, float, Tensor, Tensor]:
        """Return -ln p(x|z) and the tighter bound, both summed, and each sentence's q(z|x) (N, Z).

        Several processes take turns at the batches, and all draw the noise of every batch.
        """
        exchange, latent_size = self._exchange, self.vae.latent.latent_size
        if exchange is not None:
            exchange.align()
        nll = weighted = 0.0
        q_2NZ = torch.zeros(2, len(sentences), latent_size, device=self.device)
        begin = 0
        for turn, numbers in enumerate(sentences.in_order_of_length(self.config.batch_size)):
            place, begin = slice(begin, begin + len(numbers)), begin + len(numbers)
            noises_SBZ = [
                torch.randn(len(numbers), latent_size, generator=generator)
                for _ in range(1 + (self.latent.iw_samples or 0))
            ]
            if exchange is not None and turn % exchange.ranks.size != exchange.ranks.rank:
                continue
            batch = sentences.batch(numbers)
            tensors = self._tensors(batch.inputs, batch.targets)
            mean_BZ, log_variance_BZ = self.vae.encode(tensors.targets)
            q_2NZ[0, place], q_2NZ[1, place] = mean_BZ, log_variance_BZ
            z_BZ = at(noises_SBZ[0], mean_BZ, log_variance_BZ)
            nll += float(self.vae.negative_log_likelihoods(tensors, z_BZ).sum())
            if self.latent.iw_samples:
                bound_B = importance_weighted(
                    self.vae, tensors, mean_BZ, log_variance_BZ, noises_SBZ[1:]
                )
                weighted += float(bound_B.sum())
        if exchange is not None:
            nll, weighted = exchange.ranks.sum([nll, weighted])
            exchange.ranks.add_up(q_2NZ)
        return nll, weighted, q_2NZ[0], q_2NZ[1]

    def snapshot(self) -> Snapshot:
        """See `Learner.snapshot`."""
        taken = super().snapshot()
        if self._ahead is not None:
            taken.values["ahead"] = vars(self._ahead)
        return taken

    def restore(self, snapshot: Snapshot) -> None:
        """See `Learner.restore`."""
        super().restore(snapshot)
        if self._ahead is not None:
            self._ahead = _Ahead(**snapshot.values["ahead"])
            if not self._ahead.is_possible:
                raise ValueError("its values of the encoder's updates are impossible")


def build_learner(config: RunConfig, tokenizer: Tokenizer) -> SentenceVAELearner:
    """Build the learner of a sentence VAE; sentences end with the tokenizer's line break."""
    return SentenceVAELearner(config, end_id(tokenizer))


class _Ahead:
    """Decides which steps train the encoder alone (He, Spokoyny, Neubig & Berg-Kirkpatrick 2019).

    The encoder is trained alone while its loss falls from window to window; then one step trains
    the whole model. This is over when the mutual information between points and sentences has not
    grown from one validation to the next.
    """

    def __init__(
        self,
        over: bool = False,
        information: float = -math.inf,
        steps: int = 0,
        losses: list[float] | None = None,
        before: float = math.inf,
    ) -> None:
        self.over, self.information, self.steps = over, information, steps
        self.losses, self.before = losses or [], before

    @property
    def is_possible(self) -> bool:
        """Whether its values, which come from a file, have valid types and ranges."""
        numbers = [self.information, self.before, *self.losses]
        return (
            type(self.over) is bool
            and type(self.steps) is int
            and -1 <= self.steps <= MOST_AHEAD
            and len(self.losses) < WINDOW
            and all(type(number) is float for number in numbers)
        )

    @property
    def encoder_alone(self) -> bool:
        """Whether the next step trains the encoder alone."""
        return not self.over and self.steps >= 0

    def record_step(self, loss: float) -> None:
        """Record one step's loss."""
        if self.over:
            return
        if self.steps < 0:
            self.steps, self.losses, self.before = 0, [], math.inf
            return
        self.steps += 1
        self.losses.append(loss)
        if len(self.losses) == WINDOW:
            now = sum(self.losses)
            ended = now >= self.before or self.steps >= MOST_AHEAD
            self.losses, self.before = [], now
            self.steps = -1 if ended else self.steps

    def record_validation(self, information: float) -> None:
        """Record a validation's mutual information."""
        self.over |= information <= self.information
        self.information = information


def importance_weighted(
    vae: SentenceVAE,
    batch: TensorBatch,
    mean_BZ: Tensor,
    log_variance_BZ: Tensor,
    noises_SBZ: Sequence[Tensor],
) -> Tensor:
    """Return -ln of the mean of p(x|z) p(z) / q(z|x) over draws from q, (B,) in nats.

    It is an upper bound of -ln p(x), tighter with every draw (Burda, Grosse & Salakhutdinov 2016).
    """
    weights_SB = []
    for drawn_BZ in noises_SBZ:
        z_BZ = at(drawn_BZ, mean_BZ, log_variance_BZ)
        noise_BZ = (z_BZ - mean_BZ) / (0.5 * log_variance_BZ).exp()
        ratio_B = 0.5 * (noise_BZ.square() + log_variance_BZ - z_BZ.square()).sum(1)
        weights_SB.append(ratio_B - vae.negative_log_likelihoods(batch, z_BZ))
    return math.log(len(noises_SBZ)) - torch.logsumexp(torch.stack(weights_SB), dim=0)


def mutual_information(
    mean_NZ: Tensor, log_variance_NZ: Tensor, generator: torch.Generator
) -> float:
    """Estimate the mutual information of sentence and point: the mean of ln q(z|x) - ln q(z), nats.

    q(z) is the mixture of the q(z|x) of all N sentences, so the estimate is at most ln N (Hoffman &
    Johnson 2016).
    """
    mean_NZ, log_variance_NZ = mean_NZ[:MOST_COMPARED], log_variance_NZ[:MOST_COMPARED]
    z_NZ = draw(mean_NZ, log_variance_NZ, generator)
    inverse_NZ = (-log_variance_NZ).exp()
    # Sums of squares of (z - mean) / deviation for all pairs, without an array (N, N, Z).
    distance_NN = (
        z_NZ.square() @ inverse_NZ.T
        - 2 * z_NZ @ (mean_NZ * inverse_NZ).T
        + (mean_NZ.square() * inverse_NZ).sum(1)
    )
    log_q_NN = -0.5 * (distance_NN + log_variance_NZ.sum(1))
    information_N = log_q_NN.diagonal() - torch.logsumexp(log_q_NN, dim=1) + math.log(len(z_NZ))
    return float(information_N.mean())
