"""Optimisers, one a file: a frozen record of settings that builds PyTorch's optimiser."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from types import MethodType
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
    """Build the optimiser that `config` names, over the parameters that require gradients."""
    optimizer = _of(config)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return _without_compiler(lambda: optimizer.build(trained, config.weight_decay))


def updates_rows(config: TrainingConfig) -> bool:
    """Whether the optimiser that `config` names takes sparse gradients."""
    return _of(config).updates_rows(config.weight_decay)


def _of(config: TrainingConfig) -> Optimizer:
    cls = optimizers[config.optimizer]
    return cls(**{name: config.own[name] for name in settings_of(cls) if name in config.own})


def _without_compiler(build: Callable[[], torch.optim.Optimizer]) -> torch.optim.Optimizer:
    """Build an optimiser that does not import `torch._dynamo`, which takes seconds.

    PyTorch's optimisers import it at their first call, to exclude their methods from compilation.
    If it has not been imported, nothing is compiled, and the unwrapped methods do the same.
    """
    import torch

    if sys.modules.get("torch._dynamo") is not None:
        return build()
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None:  # `torch._compile` looks for this name
            plain.__dict__.setdefault("__dynamo_disable", plain)
    optimizer = build()
    step = torch.no_grad()(inspect.unwrap(type(optimizer).step))
    optimizer.step = MethodType(step, optimizer)  # type: ignore[method-assign]
    return optimizer


def state_of_optimizer(config: TrainingConfig) -> dict[str, torch.Tensor]:
    """Return what the optimiser of `config` stores for a parameter of one number, after a step."""
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    optimizer = build_optimizer([parameter], config)
    optimizer.step()
    return {
        key: value for key, value in optimizer.state[parameter].items() if torch.is_tensor(value)
    }


__all__ = ["Optimizer", "build_optimizer", "optimizers", "state_of_optimizer", "updates_rows"]
