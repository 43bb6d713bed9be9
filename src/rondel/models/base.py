"""The interface between the training loop and models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rondel.data.batches import PADDING
from rondel.nn.shares import WHOLE, Share
from rondel.settings import ModelConfig

ModelState = tuple[Tensor, ...]
SMALLEST_SPARSE_EMBEDDING = 1025
"""Most rows of a smaller one are seen in a step."""
T = TypeVar("T")


class TensorBatch(NamedTuple):
    """Inputs and targets (T, B) int64 on the model's device; a target of -1 does not count.

    `following` are the known tokens (R, B) after the inputs; None for the last targets only. For
    `leftward` see `rondel.data.batches.Batch`; `share` says which columns of a batch these are,
    where several processes share it out.
    """

    inputs: Tensor
    targets: Tensor
    following: Tensor | None = None
    leftward: int = 0
    share: Share = WHOLE


class Model(nn.Module):
    """A trainable model. Training minimises the sum of the terms that `losses` returns.

    ::

        terms, state = model.losses(batch, model.initial_state(batch_size), step=0)
        sum(terms.values()).backward()
    """

    reported: ClassVar[tuple[str, ...]] = ()
    """The terms whose sum is the reported loss, also used for validation; empty: all."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def initial_state(self, batch_size: int) -> ModelState:
        """Return the state at the start of a text: parts (L, B, …) in float32."""

    @abstractmethod
    def losses(
        self, batch: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """Return named loss terms (scalars) of a batch, and the state for the next batch.

        `step` counts updates from 0, for terms whose weight changes during training.
        """

    @abstractmethod
    def named_arrays(self) -> dict[str, Tensor]:
        """Return the parameters under their names in a model folder."""

    def use_sparse_gradients(self, used: bool) -> None:
        """Let large embeddings have sparse gradients, with rows for the tokens of a batch alone."""
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                large = module.num_embeddings >= SMALLEST_SPARSE_EMBEDDING
                module.sparse = used and large

    def count(self, term: str, targets_TB: Tensor, leftward: int) -> int:
        """Return how many things a term is a mean over: by default, the targets that count.

        By it the means of several processes, which share out a batch, become one.
        """
        return int((targets_TB != PADDING).sum())

    def reported_terms(self, terms: Mapping[str, T]) -> list[T]:
        """Select the terms of the reported loss."""
        return [term for name, term in terms.items() if name in self.reported or not self.reported]

    def export(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return a copy of the parameters as arrays, named as in a model folder."""
        return {
            name: parameter.detach().to("cpu", torch.float32, copy=True).numpy()
            for name, parameter in self.named_arrays().items()
        }

    @torch.no_grad()
    def load(self, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Set the parameters from arrays named as in a model folder."""
        for name, parameter in self.named_arrays().items():
            parameter.copy_(torch.from_numpy(np.array(weights[name])))
