"""What a softmax over the vocabulary says of itself.

Shapes: V vocabulary, H hidden size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rondel.registry import Part
from rondel.settings.sections import ModelConfig

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.integer[Any]]
Arrays = Iterator[tuple[str, tuple[int, ...]]]


class Softmax(ABC):
    """A softmax. A subclass names its parts; an instance of each is registered."""

    settings: ClassVar[type | None] = None
    """Its own settings of a model: a dataclass of `setting` fields."""

    is_linear: ClassVar[bool] = False
    """Whether it is one matrix with a row for each token, which can be tied to the embedding."""

    by_frequency: ClassVar[bool] = False
    """Whether it needs the commonest tokens first in the vocabulary."""

    module: ClassVar[Part]
    """`(model settings) -> torch module`: logits (N, V) of outputs (N, H), and `mean_nll`."""
    head: ClassVar[Part]
    """`(weights, name, model settings) -> function`: logits (..., V) of outputs (..., H)."""

    def settings_types(self) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        return {} if self.settings is None else {"model": self.settings}

    @abstractmethod
    def arrays(self, name: str, config: ModelConfig) -> Arrays:
        """Name and shape of each of its arrays, under `name` in a model folder."""

    def counted(self, counts_V: Counts) -> Mapping[str, Any]:
        """Its settings that follow from how often the training part has each token (V,)."""
        return {}
