"""An optimiser: Adagrad (Duchi et al. 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rondel.settings import setting
from rondel.training.optimizers import Optimizer, optimizers

if TYPE_CHECKING:
    import torch


@optimizers.register("example-adagrad")
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """`torch.optim.Adagrad`."""

    example_accumulator: float = setting(
        0.01, "the sum of squared gradients at the start", at_least=0
    )

    learning_rate: ClassVar[float] = 0.05

    def build(
        self, parameters: list[torch.nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        """See `Optimizer.build`."""
        import torch

        return torch.optim.Adagrad(
            parameters,
            lr=0.0,
            weight_decay=weight_decay,
            initial_accumulator_value=self.example_accumulator,
        )
