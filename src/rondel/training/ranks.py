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

if TYPE_CHECKING:
    from rondel.settings import TrainingConfig


class Ranks:
    """The processes that train one model together: here only this one.

    What all must do alike, they decide by shared values: sums, the clock of process 0, and a signal
    that any of them received.
    """

    rank, size = 0, 1

    def __init__(self) -> None:
        self.received = ""
        """The signal that this process received, in words."""
        self._began = time.monotonic()

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, the only one that writes and prints."""
        return self.rank == 0

    @property
    def stopped_by(self) -> str:
        """The signal that ends the training of all processes, in words; empty if none does."""
        return self.received

    def start_clock(self, seconds: float) -> None:
        """Continue counting seconds from these."""
        self._began = time.monotonic() - seconds

    def seconds(self) -> float:
        """Return the training time, by the clock of process 0."""
        return time.monotonic() - self._began

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return each of the values summed over the processes, in double precision."""
        return list(values)

    @contextmanager
    def led(self) -> Iterator[None]:
        """A block in which process 0 writes; all wait for its end, and fail if process 0 fails."""
        yield

    def compare(self, given: Mapping[str, Any], paths: Sequence[str] = (), text: str = "") -> None:
        """Raise `InputError` unless all processes were given the same settings and texts."""

    def check(self, training: TrainingConfig) -> None:
        """Raise `InputError` for a training that cannot be divided among so many processes."""


ALONE = Ranks()
"""For code that only asks for the size; a run makes another."""


def launch() -> str:
    """Return an id of the launch of `torchrun` that started this process; empty if none did.

    Processes that it restarts have the same id.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    # Without --standalone and --rdzv-id every launch is called "none"; a restart has the same
    # parent process.
    return f"{socket.gethostname()}-{os.getppid()}" if name == "none" else name
