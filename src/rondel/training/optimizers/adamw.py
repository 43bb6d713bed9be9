"""Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rondel.training.optimizers import optimizers
from rondel.training.optimizers.base import Optimizer

if TYPE_CHECKING:
    import torch


@optimizers.register("adamw")
@dataclass(frozen=True)
class AdamW(Optimizer):
    """`torch.optim.AdamW`."""

    learning_rate: ClassVar[float] = 4e-3
    is_like_adam: ClassVar[bool] = True

    def build(
        self, parameters: list[torch.nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        import torch

        # Fused: every parameter is updated in one pass.
        return torch.optim.AdamW(parameters, lr=0.0, weight_decay=weight_decay, fused=True)
