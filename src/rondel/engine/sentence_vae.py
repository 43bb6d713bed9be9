"""The engine of a sentence VAE: sentences become distributions over z, and z becomes a state.

Shapes: N sentences, T time, B batch, Z latent size, D summary of a sentence, L layers, H hidden
size, V vocabulary, G gate rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rondel.engine import build_engine
from rondel.engine.base import Engine, EngineState, Floats, Ids
from rondel.engine.numpy_engine import NumpyEngine
from rondel.kinds.sentence_vae import LatentSettings
from rondel.settings import ModelConfig

LARGEST_BATCH = 4_096
"""Tokens of short sentences that are read side by side."""


class SentenceVAEEngine:
    """Reads sentences into q(z|x) = N(mean, exp(log_variance)), and makes states of z.

    `decoder` is the language model that writes from such a state. A sentence is its token ids with
    the symbol that ends it. Weights are named as in the model folder.
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
        self.latent = LatentSettings.of(config)
        self.latent_size = latent_size = self.latent.latent_size
        shape = _shape(config, config.cell, config.num_layers, config.hidden_size)
        shape["tie_weights"] = config.tie_weights
        self.decoder: Engine
        if self.latent.latent_input:
            self.decoder = _LatentInputEngine(ModelConfig(**shape), weights, latent_size)
        else:
            self.decoder = build_engine(ModelConfig(**shape), weights, precision, threads, tokens)
        stacks = ["encoder", "encoder_backward"][: 1 + self.latent.encoder_bidirectional]
        self._encoders = [_encoder(config, weights, stack, threads, tokens) for stack in stacks]
        self._latent = {
            name: (weights[f"latent.{name}.weight"].T, weights[f"latent.{name}.bias"])
            for name in ("mean", "log_variance", "state")
        }

    def encode(self, sentences: Sequence[Ids]) -> tuple[Floats, Floats]:
        """Mean and log-variance (N, Z) of q(z|x) for each sentence, whatever stands beside it."""
        size = sum(encoder.initial_state()[0].shape[-1] for encoder in self._encoders)
        summary_ND = np.empty((len(sentences), size), np.float32)
        # Sentences of about the same length go together: what is shorter than its batch is padded.
        order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i]))
        while order:
            width = max(1, LARGEST_BATCH // len(sentences[order[0]]))
            batch, order = order[:width], order[width:]
            summary_ND[batch] = self._summaries([sentences[i] for i in batch])
        return self._affine("mean", summary_ND), self._affine("log_variance", summary_ND)

    def initial_state(self, z_NZ: Floats) -> EngineState:
        """The decoder's state before the first symbol of each sentence."""
        states, layers = len(self.decoder.initial_state()), self.config.num_layers
        flat_NX = np.tanh(self._affine("state", z_NZ.astype(np.float32)))
        if self.latent.latent_input:
            states -= 1
        state_SLNH = flat_NX.reshape(len(z_NZ), states, layers, -1).transpose(1, 2, 0, 3)
        state = tuple(np.ascontiguousarray(part_LNH) for part_LNH in state_SLNH)
        if isinstance(self.decoder, _LatentInputEngine):
            return (*state, self.decoder.input_of(z_NZ))
        return state

    def _summaries(self, sentences: Sequence[Ids]) -> Floats:
        """The encoder's last hidden state (B, D) of each sentence, at its own end."""
        lengths_B = np.array([len(sentence) for sentence in sentences])
        halves = []
        for encoder, way in zip(self._encoders, (1, -1), strict=False):
            tokens_TB = np.zeros((lengths_B.max(), len(sentences)), np.int64)
            for b, sentence in enumerate(sentences):
                tokens_TB[: len(sentence), b] = sentence[::way]
            outputs_TBH, _ = encoder.outputs(tokens_TB, encoder.initial_state(len(sentences)))
            halves.append(outputs_TBH[lengths_B - 1, np.arange(len(sentences))])
        return np.concatenate(halves, axis=1)

    def _affine(self, name: str, x_NX: Floats) -> Floats:
        weight, bias = self._latent[name]
        result: Floats = x_NX @ weight + bias
        return result


class _LatentInputEngine(NumpyEngine):
    """A decoder whose every input has z joined to it.

    What z gives to the first layer's gates is the last part of its state (1, B, G), which no step
    changes: so whatever picks, repeats or carries states does the same with z.
    """

    def __init__(
        self, config: ModelConfig, weights: Mapping[str, Floats], latent_size: int
    ) -> None:
        joined = weights["core.weight_ih_l0"]
        own, self._latent_GZ = joined[:, :-latent_size], joined[:, -latent_size:]
        super().__init__(config, {**weights, "core.weight_ih_l0": own})

    def input_of(self, z_NZ: Floats) -> Floats:
        """What z adds to the first layer's gates (1, N, G)."""
        gates: Floats = (z_NZ.astype(np.float32) @ self._latent_GZ.T)[None]
        return gates

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """Zeros, and a z of zeros."""
        gates = np.zeros((1, batch_size, len(self._latent_GZ)), np.float32)
        return (*super().initial_state(batch_size), gates)

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `NumpyEngine.step`."""
        *own, latent_1BG = state
        logits_BV, following = self._step(self._first_gates(tokens_B) + latent_1BG[0], tuple(own))
        return logits_BV, (*following, latent_1BG)

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `NumpyEngine.outputs`."""
        *own, latent_1BG = state
        outputs_TBH, last = self._outputs(self._first_gates(tokens_TB) + latent_1BG, tuple(own))
        return outputs_TBH, (*last, latent_1BG)


def _encoder(
    config: ModelConfig,
    weights: Mapping[str, Floats],
    stack: str,
    threads: int | None,
    tokens: int | None,
) -> Engine:
    """One of the encoder's stacks, as a language model whose head is of no use."""
    latent = LatentSettings.of(config)
    shape = _shape(
        config,
        latent.encoder_cell or config.cell,
        latent.encoder_layers or config.num_layers,
        latent.encoder_hidden_size or config.hidden_size,
    )
    own = {
        name.replace(f"{stack}.", "core."): array
        for name, array in weights.items()
        if name.startswith(f"{stack}.")
    }
    if "embedding.weight" in weights:
        own["embedding.weight"] = weights["embedding.weight"]
    own["head.weight"] = np.zeros((config.vocab_size, shape["hidden_size"]), np.float32)
    own["head.bias"] = np.zeros(config.vocab_size, np.float32)
    return build_engine(ModelConfig(**shape), own, "fp32", threads, tokens)


def _shape(config: ModelConfig, cell: str, layers: int, hidden_size: int) -> dict[str, Any]:
    """A language model's settings, with the vocabulary and embedding of `config`."""
    return {
        "cell": cell,
        "num_layers": layers,
        "hidden_size": hidden_size,
        "embedding_size": config.embedding_size,
        "vocab_size": config.vocab_size,
        "own": config.own,
    }
