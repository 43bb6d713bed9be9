"""The heads of models, which map a stack's outputs to logits.

Shapes: H hidden size, V vocabulary, C common words, K clusters of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from rondel.engine.base import Floats
from rondel.settings import ModelConfig
from rondel.softmaxes import softmax_of


class AnyHead(Protocol):
    """What maps outputs (..., H) to logits (..., V)."""

    @property
    def vocab_size(self) -> int:
        """How many logits there are for an output."""

    def __call__(self, outputs: Floats) -> Floats:
        """Return logits (..., V) of outputs (..., H)."""


class Head(NamedTuple):
    """A linear map to the vocabulary::

    logits_TBV = Head.of(weights)(outputs_TBH)
    """

    weight_VH: Floats
    bias_V: Floats

    @classmethod
    def of(cls, weights: Mapping[str, Floats], name: str = "head") -> Head:
        """Return the head called `name`; one without a matrix is tied to the embedding."""
        weight_VH = weights.get(f"{name}.weight")
        return cls(
            weights["embedding.weight"] if weight_VH is None else weight_VH, weights[f"{name}.bias"]
        )

    @property
    def vocab_size(self) -> int:
        """See `AnyHead.vocab_size`."""
        return len(self.bias_V)

    def __call__(self, outputs: Floats) -> Floats:
        """See `AnyHead`."""
        logits: Floats = outputs @ self.weight_VH.T
        logits += self.bias_V
        return logits


class AdaptiveHead(NamedTuple):
    """An adaptive softmax, whose logits are log-probabilities: see `rondel.softmaxes.adaptive`."""

    common_CH: Floats
    """(C + K, H): the common words, then the clusters."""
    clusters: tuple[tuple[Floats, Floats], ...]
    """Each one's map to shorter vectors, and the vectors of its words."""

    @property
    def vocab_size(self) -> int:
        """See `AnyHead.vocab_size`."""
        return self.common + sum(len(words) for _, words in self.clusters)

    @property
    def common(self) -> int:
        """How many words are in no cluster."""
        return len(self.common_CH) - len(self.clusters)

    def first(self, outputs: Floats) -> Floats:
        """Return log-probabilities (..., C + K) of the common words and of the clusters."""
        return _log_softmax(outputs @ self.common_CH.T)

    def within(self, cluster: int, outputs: Floats) -> Floats:
        """Return log-probabilities of a cluster's words, given that it is this cluster."""
        shorter, words = self.clusters[cluster]
        return _log_softmax((outputs @ shorter.T) @ words.T)

    def __call__(self, outputs: Floats) -> Floats:
        """See `AnyHead`."""
        first = self.first(outputs)
        logits = np.empty((*outputs.shape[:-1], self.vocab_size), np.float32)
        begin = self.common
        logits[..., :begin] = first[..., :begin]
        for number, (_, words) in enumerate(self.clusters):
            end = begin + len(words)
            of_cluster = first[..., self.common + number, None]
            np.add(self.within(number, outputs), of_cluster, out=logits[..., begin:end])
            begin = end
        return logits


def linear_head(weights: Mapping[str, Floats], name: str, config: ModelConfig) -> Head:
    """Return the head of a full softmax."""
    return Head.of(weights, name)


def adaptive_head(weights: Mapping[str, Floats], name: str, config: ModelConfig) -> AdaptiveHead:
    """Return the head of an adaptive softmax."""
    arrays = [weights[array] for array, _ in softmax_of(config).arrays(name, config)]
    return AdaptiveHead(arrays[0], tuple(zip(arrays[1::2], arrays[2::2], strict=True)))


def head_of(weights: Mapping[str, Floats], config: ModelConfig, name: str = "head") -> AnyHead:
    """Return the head of a model, whatever its softmax."""
    head: AnyHead = softmax_of(config).head(weights, name, config)
    return head


def _log_softmax(logits: Floats) -> Floats:
    """Overwrite logits (..., N) with log-probabilities. Not finite where the logits are not."""
    with np.errstate(invalid="ignore", over="ignore"):
        logits -= logits.max(axis=-1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits
