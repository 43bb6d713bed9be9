"""The base class of optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch


class Optimizer(ABC):
    """An optimiser. A subclass is a frozen dataclass; its fields are the optimiser's settings."""

    learning_rate: ClassVar[float]
    """The default of the highest learning rate."""

    is_like_adam: ClassVar[bool] = False
    """Whether Adam's best learning rates for a model's size suit it too: see `sizing`."""

    @classmethod
    def settings_types(cls) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        return {"training": cls}

    @abstractmethod
    def build(
        self, parameters: list[torch.nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        """Build PyTorch's optimiser. Its learning rate is set before each step.

        PyTorch is imported here, so that listing the settings does not import it.
        """

    def updates_rows(self, weight_decay: float) -> bool:
        """Whether it takes sparse gradients, and updates only the rows that they have."""
        return False
