"""Optimisers, one a file: a frozen record of settings that builds one over PyTorch's parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rondel.registry import Registry
from rondel.settings.fields import settings_of
from rondel.settings.sections import TrainingConfig
from rondel.training.optimizers.base import Optimizer

if TYPE_CHECKING:
    import torch

optimizers: Registry[type[Optimizer]] = Registry("optimizer", "rondel.training.optimizers")


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over the parameters that are to be trained."""
    cls = optimizers[config.optimizer]
    own = {name: config.own[name] for name in settings_of(cls) if name in config.own}
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return cls(**own).build(trained, config.weight_decay)


def state_of_optimizer(config: TrainingConfig) -> dict[str, torch.Tensor]:
    """What the optimiser of `config` keeps for one parameter of one number, after a step."""
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    optimizer = build_optimizer([parameter], config)
    optimizer.step()
    return {
        key: value for key, value in optimizer.state[parameter].items() if torch.is_tensor(value)
    }


__all__ = ["Optimizer", "build_optimizer", "optimizers", "state_of_optimizer"]
