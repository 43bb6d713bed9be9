"""Adaptive softmax (Grave, Joulin, Cisse, Grangier & Jegou 2017): rare words in small clusters.

The commonest words have their logits beside one logit for each cluster of rarer words. Only a word
of a cluster costs its cluster's softmax, whose words have shorter vectors: a quarter as long in
each further cluster.

Shapes: V vocabulary, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from rondel.errors import InputError
from rondel.registry import Part
from rondel.settings.fields import setting
from rondel.settings.sections import ModelConfig
from rondel.softmaxes import softmaxes
from rondel.softmaxes.base import Arrays, Softmax
from rondel.values import shown

if TYPE_CHECKING:
    from rondel.softmaxes.base import Counts

DIVISOR = 4
"""By how much the vectors of a cluster are shorter than those of the one before it."""
COVERED = (0.85, 0.97)
"""What part of the training text the words before each cut-off make up, if none is given."""
SMALLEST_CLUSTER = 16


@dataclass(frozen=True)
class AdaptiveSettings:
    """How the vocabulary is cut into clusters."""

    cutoffs: str = setting(
        "",
        "how many of the commonest words come before each cluster of rarer ones, as in 2000,10000 "
        "(default: chosen from the frequencies in the training part)",
        chosen=True,
    )


class Adaptive(Softmax):
    """`torch.nn.AdaptiveLogSoftmaxWithLoss`, whose arrays' names and values these are."""

    settings: ClassVar[type | None] = AdaptiveSettings
    by_frequency: ClassVar[bool] = True
    module = Part("rondel.nn.heads:AdaptiveHead")
    head = Part("rondel.engine.head:adaptive_head")

    def arrays(self, name: str, config: ModelConfig) -> Arrays:
        """`head`, of the common words and the clusters, and two matrices for each cluster."""
        clusters = clusters_of(config)
        size = config.hidden_size
        yield f"{name}.head.weight", (clusters[0][0] + len(clusters), size)
        for number, (begin, end) in enumerate(clusters):
            width = width_of(number, size)
            yield f"{name}.tail.{number}.0.weight", (width, size)
            yield f"{name}.tail.{number}.1.weight", (end - begin, width)

    def counted(self, counts_V: Counts) -> Mapping[str, Any]:
        """The fewest words that make up `COVERED` of the text, and no small cluster."""
        import numpy as np

        covered = np.cumsum(counts_V) / max(1, counts_V.sum())
        edges = [int(np.searchsorted(covered, part)) + 1 for part in COVERED]
        kept: list[int] = []
        for edge in edges:
            if edge - (kept[-1] if kept else 0) >= SMALLEST_CLUSTER and (
                len(counts_V) - edge >= SMALLEST_CLUSTER
            ):
                kept.append(edge)
        return {"cutoffs": ",".join(map(str, kept or [max(1, len(counts_V) // 2)]))}


def width_of(cluster: int, size: int) -> int:
    """How long the vectors of a cluster are, of outputs of `size`."""
    return max(1, size // int(DIVISOR ** (cluster + 1)))


def clusters_of(config: ModelConfig) -> list[tuple[int, int]]:
    """From which token to which each cluster goes; `InputError` if the cut-offs are unusable."""
    text = config.own["cutoffs"]
    parts = text.split(",")
    edges = [int(part) for part in parts if part.strip().isdecimal()]
    bounds = [0, *edges, config.vocab_size]
    if len(edges) < len(parts) or any(one >= other for one, other in pairwise(bounds)):
        raise InputError(
            f"--cutoffs are rising numbers from 1 to {config.vocab_size - 1} (there are "
            f"{config.vocab_size} words), as in 2000,10000, not {shown(text)}"
        )
    return list(pairwise(bounds[1:]))


softmaxes.register("adaptive")(Adaptive())
