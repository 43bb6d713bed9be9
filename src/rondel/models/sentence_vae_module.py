"""The sentence VAE: a variational autoencoder of sentences.

Bowman, Vilnis, Vinyals, Dai, Jozefowicz & Bengio, "Generating sentences from a continuous space"
(CoNLL 2016). An encoder maps a sentence to q(z|x) = N(mean, exp(log_variance)); a decoder, a
language model whose initial state comes from z, reconstructs it with teacher forcing.

Shapes: T time, B sentences, Z latent size, D summary, E embedding size, S states, L layers, H
hidden size, V vocabulary.
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rondel.cells import build_cell
from rondel.data.batches import PADDING
from rondel.kinds.sentence_vae_kind import LatentSettings
from rondel.models.base import Model, ModelState, TensorBatch
from rondel.models.language_model_module import LanguageModel
from rondel.nn.blocked_loss import head_nll
from rondel.nn.shares import WHOLE, Share
from rondel.nn.stack import RecurrentStack
from rondel.settings import ModelConfig


class Regularisation(NamedTuple):
    """Settings that keep the decoder from ignoring z; `rondel train --help` gives their sources."""

    kl_annealing: str = "none"
    kl_annealing_steps: int = 1
    beta: float = 1.0
    word_dropout: float = 0.0
    free_bits: float = 0.0

    def weight(self, step: int) -> float:
        """Return the weight of the KL term at a step."""
        done = step / self.kl_annealing_steps
        if self.kl_annealing == "linear":
            return self.beta * min(1.0, done)
        if self.kl_annealing == "logistic":
            return self.beta / (1 + math.exp(-10 * (min(done, 4.0) - 0.5)))
        if self.kl_annealing == "cyclical":
            # It rises for half of each cycle, then is constant.
            return self.beta * min(1.0, 2 * (done % 1.0))
        return self.beta


class SentenceVAE(Model):
    """An encoder, a language model as decoder, and the linear maps between them and z.

    In a model folder the decoder's arrays have a language model's names; the encoder, which shares
    the embedding, is `encoder.…` (and `encoder_backward.…`, a second stack that reads a sentence
    backward); `latent.mean`, `latent.log_variance` (Z, D) and `latent.state` (S·L·H, Z) are the
    maps. The decoder's initial state is the tanh of `latent.state`'s output.
    """

    reported: ClassVar[tuple[str, ...]] = ("nll", "kl")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        latent = self.latent = LatentSettings.of(config)
        self.regularisation = Regularisation()
        self.decoder = LanguageModel(config)
        width = config.embedding_size or config.vocab_size
        if latent.latent_input:
            self.decoder.core = RecurrentStack(
                build_cell(config),
                width + latent.latent_size,
                config.hidden_size,
                config.num_layers,
                config.dropout,
                config.variational,
            )
        size = latent.encoder_hidden_size or config.hidden_size
        self.encoders = nn.ModuleList(
            RecurrentStack(
                build_cell(config, latent.encoder_cell),
                width,
                size,
                latent.encoder_layers or config.num_layers,
            )
            for _ in range(1 + latent.encoder_bidirectional)
        )
        summary = size * len(self.encoders)
        self.mean = nn.Linear(summary, latent.latent_size)
        self.log_variance = nn.Linear(summary, latent.latent_size)
        states = len(self.decoder.core.cell.states)
        self.state = nn.Linear(latent.latent_size, states * config.num_layers * config.hidden_size)

    def initial_state(self, batch_size: int) -> ModelState:
        """Return no state: a sentence starts from its z."""
        return ()

    def encode(self, targets_TB: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (B, Z) of q(z|x), for padded sentences with their ends."""
        lengths_B = (targets_TB != PADDING).sum(0)
        tokens_TB = targets_TB.clamp(min=0)
        columns_B = torch.arange(len(lengths_B), device=targets_TB.device)
        summaries = []
        for number, encoder in enumerate(self.encoders):
            if number:
                times_T1 = torch.arange(len(tokens_TB), device=targets_TB.device)[:, None]
                tokens_TB = tokens_TB.gather(0, (lengths_B - 1 - times_T1).clamp(min=0))
            inputs_TBE = self.decoder.embed(tokens_TB)
            assert isinstance(encoder, RecurrentStack)
            outputs_TBH, _ = encoder(inputs_TBE, encoder.initial_state(len(lengths_B)))
            # The output at each sentence's end; later outputs are of padding.
            summaries.append(outputs_TBH[lengths_B - 1, columns_B])
        summary_BD = torch.cat(summaries, dim=1)
        return self.mean(summary_BD), self.log_variance(summary_BD)

    def decode(
        self, inputs_TB: Tensor, z_BZ: Tensor, dropped: float = 0.0, share: Share = WHOLE
    ) -> Tensor:
        """Return the decoder's outputs (T, B, H) after each of its inputs, from z.

        Inputs other than the first are replaced by zeros with probability `dropped`.
        """
        config = self.config
        parts_BSLH = torch.tanh(self.state(z_BZ)).reshape(
            len(z_BZ), -1, config.num_layers, config.hidden_size
        )
        state = tuple(part.transpose(0, 1).contiguous() for part in parts_BSLH.unbind(1))
        x_TBE = self.decoder.embed(inputs_TB)
        if dropped:
            steps, columns = inputs_TB.shape
            kept_TB = share.uniform(steps, columns, x_TBE.device) >= dropped
            kept_TB[0] = True
            x_TBE = x_TBE * kept_TB[:, :, None]
        if self.latent.latent_input:
            x_TBE = torch.cat([x_TBE, z_BZ.expand(len(x_TBE), -1, -1)], dim=2)
        outputs_TBH: Tensor = self.decoder.core(x_TBE, state)[0]
        return outputs_TBH

    def negative_log_likelihoods(
        self, batch: TensorBatch, z_BZ: Tensor, dropped: float = 0.0
    ) -> Tensor:
        """Return -ln p(x|z) (B,) in nats, summed over each sentence's tokens, its end included."""
        outputs_TBH = self.decode(batch.inputs, z_BZ, dropped, batch.share)
        valid_TB = batch.targets != PADDING
        head = self.decoder.head
        # Skip padding: over a large vocabulary the head is most of the work.
        nll_N = head_nll(outputs_TBH[valid_TB], head.weight, head.bias, batch.targets[valid_TB])
        nll_TB = torch.zeros(valid_TB.shape, dtype=nll_N.dtype, device=nll_N.device)
        return nll_TB.masked_scatter(valid_TB, nll_N).sum(0)

    def losses(
        self, batch: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """Return `nll`, `kl`, and `annealing`, the objective minus the negative ELBO.

        In nats per sentence: sums over a sentence, means over sentences.
        """
        mean_BZ, log_variance_BZ = self.encode(batch.targets)
        z_BZ = at(batch.share.normal(*mean_BZ.shape), mean_BZ, log_variance_BZ)
        settings = self.regularisation
        nll = self.negative_log_likelihoods(batch, z_BZ, settings.word_dropout).mean()
        kl_Z = kl_of(mean_BZ, log_variance_BZ).mean(0)
        kept_Z = batch.share.mean(kl_Z).clamp(min=settings.free_bits)
        weighted = settings.weight(step) * kept_Z.sum()
        kl = kl_Z.sum()
        return {"nll": nll, "kl": kl, "annealing": weighted - kl}, ()

    def count(self, term: str, targets_TB: Tensor, leftward: int) -> int:
        """See `Model.count`: sentences."""
        return targets_TB.shape[1]

    def named_arrays(self) -> dict[str, Tensor]:
        """See `Model.named_arrays`."""
        arrays = self.decoder.named_arrays()
        for name, encoder in zip(("encoder", "encoder_backward"), self.encoders, strict=False):
            assert isinstance(encoder, RecurrentStack)
            arrays |= {f"{name}.{key}": array for key, array in encoder.named_arrays().items()}
        for name in ("mean", "log_variance", "state"):
            linear = getattr(self, name)
            arrays[f"latent.{name}.weight"] = linear.weight
            arrays[f"latent.{name}.bias"] = linear.bias
        return arrays


def draw(
    mean_BZ: Tensor, log_variance_BZ: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw z from each q(z|x), by the reparameterisation of Kingma & Welling (2014)."""
    return at(torch.randn(mean_BZ.shape, generator=generator), mean_BZ, log_variance_BZ)


def at(noise_BZ: Tensor, mean_BZ: Tensor, log_variance_BZ: Tensor) -> Tensor:
    """Return the z of each q(z|x) that normal noise stands for."""
    return mean_BZ + (0.5 * log_variance_BZ).exp() * noise_BZ.to(mean_BZ)


def kl_of(mean_BZ: Tensor, log_variance_BZ: Tensor) -> Tensor:
    """Return KL(q(z|x) || N(0, I)) in nats, for each dimension of z (B, Z)."""
    return 0.5 * (log_variance_BZ.exp() + mean_BZ.square() - 1 - log_variance_BZ)
