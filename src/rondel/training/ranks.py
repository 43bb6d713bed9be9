"""The processes that train one model together; here, a process that trains it alone.

`rondel.training.distributed` has those that `torchrun` starts.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rondel.errors import require

if TYPE_CHECKING:
    from rondel.settings import TrainingConfig


class Ranks:
    """This process and those that it trains with: none.

    What all must do alike they decide by what is agreed: sums, the clock of process 0, and a signal
    that any of them received.
    """

    rank, size = 0, 1

    def __init__(self) -> None:
        self.received = ""
        """The signal that this process received, in words."""
        self._began = time.monotonic()

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, which alone writes and prints."""
        return self.rank == 0

    @property
    def stopped_by(self) -> str:
        """The signal that ends the training of all processes, in words; empty while none does."""
        return self.received

    def start_clock(self, seconds: float) -> None:
        """Go on counting seconds from here."""
        self._began = time.monotonic() - seconds

    def seconds(self) -> float:
        """The time of process 0."""
        return time.monotonic() - self._began

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each of the values, summed over the processes, in double precision."""
        return list(values)

    @contextmanager
    def led(self) -> Iterator[None]:
        """A block in which process 0 writes; all leave it together, and fail if process 0 does."""
        yield

    def compare(self, given: Mapping[str, Any], paths: Sequence[str] = (), text: str = "") -> None:
        """Raise `InputError` unless all processes were given the same settings and texts."""

    def check(self, training: TrainingConfig) -> None:
        """Raise `InputError` for a training that cannot be shared out among so many."""


ALONE = Ranks()
"""For what only asks how many there are; a run has its own."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that `torchrun` started this one with, or it alone.

    Raises `InputError` if they cannot reach each other, or run other versions.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield Ranks()
        return
    require("torch", "train")
    from rondel.training.distributed import process_group

    with process_group() as ranks:
        yield ranks


def launch() -> str:
    """What names the processes that `torchrun` started, and those that it restarts in their place.

    Empty for a process that it did not start.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    # Without --standalone and --rdzv-id every launch has this name. A restart has the same parent.
    return f"{socket.gethostname()}-{os.getppid()}" if name == "none" else name
