"""The engine of a sentence VAE: encodes sentences as distributions over z, and decodes z.

Shapes: N sentences, T time, B batch, Z latent size, D summary of a sentence, S states of the cell,
L layers, H hidden size, X numbers of a state, G gate rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from rondel.cells import build_cell
from rondel.engine import build_engine, build_stack
from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.stack_config import StackConfig, StackWeights
from rondel.kinds.sentence_vae_kind import LatentSettings
from rondel.settings import ModelConfig

LARGEST_BATCH = 4_096
"""Tokens of a batch of sentences, padding included."""


class SentenceVAEEngine:
    """Encodes sentences as q(z|x) = N(mean, exp(log_variance)), and maps z to initial states.

    `decoder` is the language model that writes from such a state. A sentence is its token ids with
    the end symbol. Weights are named as in the model folder.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Floats],
        precision: str = "fp32",
        threads: int | None = None,
        tokens: int | None = None,
    ) -> None:
        self.config = config
        self.latent_size = LatentSettings.of(config).latent_size
        self._decoder_config = decoder_config(config)
        self.decoder = build_engine(self._decoder_config, weights, precision, threads, tokens)
        self._constant_GZ = StackWeights.of(self._decoder_config, weights, "core.").constant_GZ
        encoder = encoder_config(config)
        self._encoders = [
            build_stack(encoder, weights, prefix, threads, tokens)
            for prefix in encoder_prefixes(config)
        ]
        self._summary_size = encoder.hidden_size * len(self._encoders)
        self._latent = {
            name: (weights[f"latent.{name}.weight"].T, weights[f"latent.{name}.bias"])
            for name in ("mean", "log_variance", "state")
        }

    def encode(self, sentences: Sequence[Ids]) -> tuple[Floats, Floats]:
        """Return mean and log-variance (N, Z) of q(z|x) for each sentence."""
        summary_ND = np.empty((len(sentences), self._summary_size), np.float32)
        # Batches of similar lengths need little padding.
        order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i]))
        while order:
            width = max(1, LARGEST_BATCH // len(sentences[order[0]]))
            batch, order = order[:width], order[width:]
            summary_ND[batch] = self._summaries([sentences[i] for i in batch])
        return self._affine("mean", summary_ND), self._affine("log_variance", summary_ND)

    def initial_state(self, z_NZ: Floats) -> EngineState:
        """Return the decoder's state before the first symbol of each sentence, from its z."""
        z_NZ = z_NZ.astype(np.float32)
        flat_NX = np.tanh(self._affine("state", z_NZ))
        states, layers = len(self._decoder_config.cell.states), self._decoder_config.num_layers
        state_SLNH = flat_NX.reshape(len(z_NZ), states, layers, -1).transpose(1, 2, 0, 3)
        state = tuple(np.ascontiguousarray(part_LNH) for part_LNH in state_SLNH)
        if self._constant_GZ is None:
            return state
        # A decoder that reads z at each step has it as its stack's constant input.
        constant_1NG: Floats = (z_NZ @ self._constant_GZ.T)[None]
        return (*state, constant_1NG)

    def _summaries(self, sentences: Sequence[Ids]) -> Floats:
        """Return the encoders' last hidden states (B, D), each at its sentence's end."""
        lengths_B = np.array([len(sentence) for sentence in sentences])
        halves = []
        for encoder, direction in zip(self._encoders, (1, -1), strict=False):
            tokens_TB = np.zeros((lengths_B.max(), len(sentences)), np.int64)
            for b, sentence in enumerate(sentences):
                tokens_TB[: len(sentence), b] = sentence[::direction]
            outputs_TBH, _ = encoder.outputs(tokens_TB, encoder.initial_state(len(sentences)))
            halves.append(outputs_TBH[lengths_B - 1, np.arange(len(sentences))])
        return np.concatenate(halves, axis=1)

    def _affine(self, name: str, x_NX: Floats) -> Floats:
        weight, bias = self._latent[name]
        result: Floats = x_NX @ weight + bias
        return result


def decoder_config(config: ModelConfig) -> StackConfig:
    """Return the shape of a sentence VAE's decoder, with z as a constant input if it reads z."""
    latent = LatentSettings.of(config)
    constant_size = latent.latent_size if latent.latent_input else 0
    return dataclasses.replace(StackConfig.of(config), constant_size=constant_size)


def encoder_config(config: ModelConfig) -> StackConfig:
    """Return the shape of a sentence VAE's encoders."""
    latent = LatentSettings.of(config)
    return StackConfig(
        build_cell(config, latent.encoder_cell),
        latent.encoder_layers or config.num_layers,
        latent.encoder_hidden_size or config.hidden_size,
        config.vocab_size,
    )


def encoder_prefixes(config: ModelConfig) -> list[str]:
    """Return the prefix of each encoder's arrays; a second encoder reads sentences backward."""
    both = LatentSettings.of(config).encoder_bidirectional
    return ["encoder.", "encoder_backward."] if both else ["encoder."]
