"""What the loop asks of whatever learns: PyTorch or the NumPy reference."""

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
    """One update: the loss before it and its named terms (nats per token), the gradients' norm.

    The loss is the sum of those terms that the model is judged by.

    If the loss or the norm is not finite, no update was made.
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
    """Everything that a learner needs to go on to the same bits: arrays, and plain JSON values."""

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
        """Raise `ValueError` unless its arrays are those of some groups, in shape and type.

        The first group is there; of each of the others, all or nothing.
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
            raise ValueError(f"its array {foreign[0]} is none of this model's")


def steps_at_a_time(streams: int, vocab_size: int) -> int:
    """How many steps of so many streams to validate at once, so that their logits take 64 MB."""
    return max(1, min(256, 16_000_000 // (streams * vocab_size)))


class Learner(Protocol):
    """Owns parameters, optimiser, carried state and random numbers."""

    figures: dict[str, float]
    """What else the last validation found, by name; for most models, nothing."""

    def join(self, ranks: ProcessGroup) -> None:
        """Train with other processes from here on: of each batch, this one takes its columns.

        Raises `InputError` if it cannot.
        """

    def step(self, batch: Batch, learning_rate: float) -> StepResult:
        """Update once; the state is carried from the batch before, unless this one is fresh."""

    def validate(self, tokens: Ids) -> float:
        """Mean loss over a text (N,), in nats per token; changes nothing."""

    def weights(self) -> Arrays:
        """A copy of the parameters, named as in a model folder."""

    def load_weights(self, weights: Arrays) -> None:
        """Start from these parameters."""

    def snapshot(self) -> Snapshot:
        """What `restore` takes."""

    def restore(self, snapshot: Snapshot) -> None:
        """Go on exactly where `snapshot` was taken.

        Raises `ValueError`, `KeyError` or `TypeError` if it is none of this learner's.
        """


@runtime_checkable
class DocumentLearner(Learner, Protocol):
    """One that is trained on documents as well: see `rondel.data.document_batches`."""

    def validate_documents(self, documents: Documents) -> float:
        """Mean loss over documents, each read from the zero state, in nats per token."""
