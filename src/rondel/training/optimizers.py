"""Optimisers by name, over PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from rondel.config import TrainingConfig

Build = Callable[[list[nn.Parameter], TrainingConfig], torch.optim.Optimizer]

# `fused` updates every parameter in one pass; the learning rate is set before each step.
OPTIMIZERS: dict[str, Build] = {
    "sgd": lambda parameters, config: torch.optim.SGD(
        parameters, lr=0.0, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    ),
    "rmsprop": lambda parameters, config: torch.optim.RMSprop(
        parameters, lr=0.0, alpha=config.rho, weight_decay=config.weight_decay
    ),
    "adam": lambda parameters, config: torch.optim.Adam(
        parameters, lr=0.0, weight_decay=config.weight_decay, fused=True
    ),
    "adamw": lambda parameters, config: torch.optim.AdamW(
        parameters, lr=0.0, weight_decay=config.weight_decay, fused=True
    ),
}


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainingConfig
) -> torch.optim.Optimizer:
    """The optimiser that `config` names, over the parameters that are to be trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    assert config.optimizer is not None
    return OPTIMIZERS[config.optimizer](trained, config)


def state_of_optimizer(config: TrainingConfig) -> dict[str, torch.Tensor]:
    """What the optimiser of `config` keeps for one parameter of one number, after a step."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    optimizer = build_optimizer([parameter], config)
    optimizer.step()
    return {
        key: value for key, value in optimizer.state[parameter].items() if torch.is_tensor(value)
    }
