"""Heads as PyTorch modules: logits of a stack's outputs, and the loss without all of them.

Shapes: N positions, T time, B batch, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from rondel.data.batches import PADDING
from rondel.nn.blocked_loss import head_nll, mean_head_nll
from rondel.settings import ModelConfig
from rondel.softmaxes.adaptive import DIVISOR, clusters_of


class LinearHead(nn.Linear):
    """A row for each token, and a softmax over all."""

    def mean_nll(self, x_TBH: Tensor, targets_TB: Tensor) -> Tensor:
        """Return the mean of -ln p over the targets (T, B) that are not -1."""
        return mean_head_nll(x_TBH, self, targets_TB)


def linear_head(config: ModelConfig) -> LinearHead:
    """The head of a full softmax."""
    return LinearHead(config.hidden_size, config.vocab_size)


class AdaptiveHead(nn.AdaptiveLogSoftmaxWithLoss):
    """An adaptive softmax, whose logits are log-probabilities: see `rondel.softmaxes.adaptive`."""

    def __init__(self, config: ModelConfig) -> None:
        cutoffs = [begin for begin, _ in clusters_of(config)]
        super().__init__(config.hidden_size, config.vocab_size, cutoffs, DIVISOR)

    def forward(self, x_TBH: Tensor) -> Tensor:  # type: ignore[override]
        """Return log-probabilities (T, B, V) of outputs (T, B, H)."""
        steps, batch, _ = x_TBH.shape
        logits_NV: Tensor = self.log_prob(x_TBH.flatten(0, 1))
        return logits_NV.reshape(steps, batch, -1)

    def mean_nll(self, x_TBH: Tensor, targets_TB: Tensor) -> Tensor:
        """Return the mean of -ln p over the targets (T, B) that are not -1.

        A cluster's softmax is computed for its own targets alone; one without any has no gradient.
        """
        x_NH, targets_N = x_TBH.flatten(0, 1), targets_TB.flatten()
        first_N = targets_N.clone()
        totals = []
        for number, (begin, end) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            rows = ((targets_N >= begin) & (targets_N < end)).nonzero()[:, 0]
            if not len(rows):
                continue
            first_N[rows] = self.cutoffs[0] + number
            shorter, words = cast("tuple[nn.Linear, nn.Linear]", self.tail[number])
            no_bias = torch.zeros(len(words.weight), device=x_NH.device)
            of_cluster = targets_N[rows] - begin
            totals.append(head_nll(shorter(x_NH[rows]), words.weight, no_bias, of_cluster).sum())
        no_bias = torch.zeros(len(self.head.weight), device=x_NH.device)
        totals.append(head_nll(x_NH, self.head.weight, no_bias, first_N).sum())
        return torch.stack(totals).sum() / (targets_N != PADDING).sum()
