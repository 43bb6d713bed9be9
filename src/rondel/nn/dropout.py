"""Dropout, with a mask for each step, or one for all steps of a sequence."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """Drops elements of x (T, B, H) with probability `probability` while training.

    With `variational`, all steps of a sequence share one mask (Gal & Ghahramani 2016), drawn for
    each sequence of the batch and each call.
    """

    def __init__(self, probability: float, variational: bool = False) -> None:
        super().__init__()
        self.probability, self.variational = probability, variational

    def forward(self, x_TBH: Tensor) -> Tensor:
        """Return x with dropped elements zero, and the others scaled to keep the mean."""
        if not self.training or self.probability == 0:
            return x_TBH
        if not self.variational:
            return functional.dropout(x_TBH, self.probability)
        mask_1BH = functional.dropout(x_TBH.new_ones(1, *x_TBH.shape[1:]), self.probability)
        return x_TBH * mask_1BH
