"""Adam (Kingma & Ba 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rondel.training.optimizers import optimizers
from rondel.training.optimizers.base import Optimizer

if TYPE_CHECKING:
    import torch


@optimizers.register("adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """`torch.optim.Adam`, and for sparse gradients what `torch.optim.SparseAdam` does."""

    learning_rate: ClassVar[float] = 4e-3
    is_like_adam: ClassVar[bool] = True

    def build(
        self, parameters: list[torch.nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        from rondel.training.row_adam import RowAdam

        # Fused: every parameter is updated in one pass.
        return RowAdam(parameters, lr=0.0, weight_decay=weight_decay, fused=True)

    def updates_rows(self, weight_decay: float) -> bool:
        """See `Optimizer.updates_rows`: decay would change every row."""
        return weight_decay == 0
