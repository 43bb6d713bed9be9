"""What the training loop asks of a model, and no more."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rondel.settings import ModelConfig

ModelState = tuple[Tensor, ...]
T = TypeVar("T")


class TensorBatch(NamedTuple):
    """Inputs and targets (T, B) int64 on the model's device; a target of -1 does not count.

    `following` are the tokens (R, B) that come after the inputs, as far as they are known; left
    out, the last targets alone. For `leftward` see `rondel.data.batches.Batch`.
    """

    inputs: Tensor
    targets: Tensor
    following: Tensor | None = None
    leftward: int = 0


class Model(nn.Module):
    """A trainable model. What it minimises is the sum of the terms that `losses` names.

    ::

        terms, state = model.losses(batch, model.initial_state(batch_size), step=0)
        sum(terms.values()).backward()
    """

    told: ClassVar[tuple[str, ...]] = ()
    """The terms whose sum is the loss that is told, and that a model is judged by; empty: all."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def initial_state(self, batch_size: int) -> ModelState:
        """The state that a text starts from."""

    @abstractmethod
    def losses(
        self, batch: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """Named loss terms (scalars) of a batch, and the state to carry to the next one.

        `step` counts updates from 0, for terms whose weight changes as training goes on.
        """

    @abstractmethod
    def named_arrays(self) -> dict[str, Tensor]:
        """The parameters under the names they have in a model folder."""

    def told_of(self, terms: Mapping[str, T]) -> list[T]:
        """Those of the named terms that are told."""
        return [term for name, term in terms.items() if name in self.told or not self.told]

    def export(self) -> dict[str, npt.NDArray[np.float32]]:
        """A copy of the parameters as arrays, named as in a model folder."""
        return {
            name: parameter.detach().to("cpu", torch.float32, copy=True).numpy()
            for name, parameter in self.named_arrays().items()
        }

    @torch.no_grad()
    def load(self, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Set the parameters from arrays named as in a model folder."""
        for name, parameter in self.named_arrays().items():
            parameter.copy_(torch.from_numpy(np.array(weights[name])))
