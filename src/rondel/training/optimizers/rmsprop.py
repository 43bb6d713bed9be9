"""RMSprop (Tieleman & Hinton 2012), the optimiser of char-rnn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rondel.settings.fields import setting
from rondel.training.optimizers import optimizers
from rondel.training.optimizers.base import Optimizer

if TYPE_CHECKING:
    import torch


@optimizers.register("rmsprop")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """`torch.optim.RMSprop`."""

    rho: float = setting(0.95, "decay of the squared gradient", at_least=0, below=1)

    learning_rate: ClassVar[float] = 2e-3

    def build(
        self, parameters: list[torch.nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        import torch

        return torch.optim.RMSprop(parameters, lr=0.0, alpha=self.rho, weight_decay=weight_decay)
