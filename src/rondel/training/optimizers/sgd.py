"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rondel.settings.fields import setting
from rondel.training.optimizers import optimizers
from rondel.training.optimizers.base import Optimizer

if TYPE_CHECKING:
    import torch


@optimizers.register("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """`torch.optim.SGD`."""

    momentum: float = setting(0.9, "momentum", at_least=0, below=1)

    learning_rate: ClassVar[float] = 0.5

    def build(
        self, parameters: list[torch.nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        import torch

        return torch.optim.SGD(
            parameters, lr=0.0, momentum=self.momentum, weight_decay=weight_decay, fused=True
        )
