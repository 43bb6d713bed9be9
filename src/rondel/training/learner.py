"""The interface between the training loop and what learns: PyTorch or the NumPy reference."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from rondel.data.batches import Batch
from rondel.data.documents import Documents
from rondel.data.store import Ids
from rondel.folder_files import Arrays, array_fault

if TYPE_CHECKING:
    from rondel.training.distributed import ProcessGroup


class StepResult(NamedTuple):
    """One training step: the loss before it, its named terms (nats per token), the gradients' norm.

    The loss is the sum of the terms that count for validation. If the loss or the norm is not
    finite, no update was made.
    """

    loss: float
    terms: dict[str, float]
    gradient_norm: float

    @property
    def finite(self) -> bool:
        """Whether the update was made."""
        return not self.fault

    @property
    def fault(self) -> str:
        """What is not finite, in words; empty if all is."""
        if not math.isfinite(self.loss):
            return f"the loss is {self.loss}"
        if not math.isfinite(self.gradient_norm):
            return f"the gradient's norm is {self.gradient_norm}"
        return ""


@dataclass
class Snapshot:
    """All that a learner needs to continue bit-identically: arrays, and plain JSON values."""

    arrays: Arrays
    values: dict[str, Any] = field(default_factory=dict)

    def by_prefix(self) -> dict[str, Arrays]:
        """`{"weights.head.bias": …}` -> `{"weights": {"head.bias": …}}`."""
        parts: dict[str, Arrays] = {}
        for name, array in self.arrays.items():
            prefix, rest = name.split(".", 1)
            parts.setdefault(prefix, {})[rest] = array
        return parts

    def check(self, *groups: Arrays) -> None:
        """Raise `ValueError` unless its arrays are those of the groups, in shape and type.

        The first group must be there; of every other, all arrays or none.
        """
        known: set[str] = set()
        for number, group in enumerate(groups):
            known |= group.keys()
            if number and not group.keys() & self.arrays.keys():
                continue
            for name, array in group.items():
                fault = array_fault(self.arrays, name, array.shape, array.dtype)
                if fault:
                    raise ValueError(fault)
        foreign = sorted(self.arrays.keys() - known)
        if foreign:
            raise ValueError(f"its array {foreign[0]} is unknown to this model")


def steps_at_a_time(streams: int, vocab_size: int) -> int:
    """Return how many steps of `streams` to validate at once, so that their logits take 64 MB."""
    return max(1, min(256, 16_000_000 // (streams * vocab_size)))


class Learner(Protocol):
    """Has the parameters, the optimiser, the carried state and the random numbers."""

    figures: dict[str, float]
    """Other figures of the last validation, by name; most models have none."""

    def join(self, ranks: ProcessGroup) -> None:
        """Train with other processes from here on, each on its columns of every batch.

        Raises `InputError` if it cannot.
        """

    def step(self, batch: Batch, learning_rate: float) -> StepResult:
        """Make one step; the state is carried over from the last batch, if this is not fresh."""

    def validate(self, tokens: Ids) -> float:
        """Return the mean loss over a text (N,), in nats per token, without changing anything."""

    def weights(self) -> Arrays:
        """Return a copy of the parameters, named as in a model folder."""

    def load_weights(self, weights: Arrays) -> None:
        """Set the parameters."""

    def snapshot(self) -> Snapshot:
        """Return the state for `restore`."""

    def restore(self, snapshot: Snapshot) -> None:
        """Continue exactly where `snapshot` was taken.

        Raises `ValueError`, `KeyError` or `TypeError` if it is not of such a learner.
        """


@runtime_checkable
class DocumentLearner(Learner, Protocol):
    """A learner that can also train on documents: see `rondel.data.document_batches`."""

    def validate_documents(self, documents: Documents) -> float:
        """Return the mean loss over documents, each read from the zero state, in nats per token."""
