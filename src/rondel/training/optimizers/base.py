"""What an optimiser is here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch


class Optimizer(ABC):
    """A subclass is a frozen dataclass; its fields are the optimiser's settings."""

    learning_rate: ClassVar[float]
    """The rate at its highest, where none is given."""

    is_like_adam: ClassVar[bool] = False
    """Whether the rates that are best with Adam for a model's size are so with it: see `sizing`."""

    @classmethod
    def settings_types(cls) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        return {"training": cls}

    @abstractmethod
    def build(
        self, parameters: list[torch.nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        """Make it over the parameters. Its rate is set before each step.

        PyTorch is imported here and not above, so that a list of settings does without it.
        """

    def updates_rows(self, weight_decay: float) -> bool:
        """Whether it takes sparse gradients, and updates only the rows that they have."""
        return False
