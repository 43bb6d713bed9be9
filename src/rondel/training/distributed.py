"""Communication between processes that train one model, started by `torchrun`.

They exchange numbers, JSON and files, never pickles. `rondel.training.together` has them share a
run, `rondel.training.exchange` each step of it.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from rondel import __version__
from rondel.errors import InputError, LostProcessError, RondelError, reported
from rondel.files import sum_of_file
from rondel.settings import TrainingConfig, flag_name
from rondel.training.interrupts import WORDS
from rondel.training.ranks import Ranks
from rondel.training.rendezvous import store_of_all

STEP_SECONDS = 600
"""How long a process waits for the others during training: longer than a step or a save takes."""
PREPARATION_SECONDS = 7 * 24 * 3600
"""How long it waits while process 0 reads the text, which may take hours."""
CHUNK = 1 << 24
SIGNALS = tuple(WORDS.values())
_groups: list[Any] = []
"""All process groups ever made, so that none is freed. DistributedDataParallel holds Python's lock
when it drops its reference to a group; if that were the last, it would wait forever for the group's
thread, which waits for that lock (PyTorch 2.13)."""
LOST = re.compile(
    "gloo|NCCL|connection (closed|reset|refused)|broken pipe|timed out|socket", re.IGNORECASE
)


class ProcessGroup(Ranks):
    """The processes of PyTorch's default process group; all call the same methods in step."""

    def __init__(self) -> None:
        super().__init__()
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.number_here = int(os.environ.get("LOCAL_RANK", self.rank))
        """Its number among this machine's processes."""
        self.here = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        """The number of processes on this machine."""
        self._patient: Any = dist.new_group(
            backend="gloo", timeout=timedelta(seconds=PREPARATION_SECONDS)
        )
        self._seconds, self._stopped_by = 0.0, ""

    @property
    def stopped_by(self) -> str:
        """See `Ranks`: as of the last sum."""
        return self._stopped_by

    def start_clock(self, seconds: float) -> None:
        """See `Ranks`."""
        super().start_clock(seconds)
        self._seconds = seconds

    def seconds(self) -> float:
        """See `Ranks`: as of the last sum."""
        return self._seconds

    def sum(self, values: Sequence[float]) -> list[float]:
        """See `Ranks`. The clock and the signals are sent along, so that a step has one message."""
        clock = super().seconds() if self.is_first else 0.0
        received = [float(self.received == word) for word in SIGNALS]
        message = torch.tensor([*values, clock, *received], dtype=torch.float64)
        self.add_up(message)
        *sums, self._seconds = message[: -len(SIGNALS)].tolist()
        flags = message[-len(SIGNALS) :].tolist()
        signals = (word for word, flag in zip(SIGNALS, flags, strict=True) if flag)
        self._stopped_by = self._stopped_by or next(signals, "")
        return sums

    def add_up(self, tensor: Tensor) -> None:
        """Sum a tensor over the processes, in place."""
        with communicating():
            dist.all_reduce(tensor)

    def gather(self, own: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, by rank; all have the same shape and type."""
        found = [torch.empty_like(own) for _ in range(self.size)]
        with communicating():
            dist.all_gather(found, own)
        return found

    def gather_values(self, value: Any) -> list[Any]:
        """Return the plain JSON values of all processes, by rank; wait for them however long."""
        data = np.frombuffer(json.dumps(value).encode(), np.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with communicating():
            dist.all_gather(lengths, torch.tensor([len(data)]), group=self._patient)
        padded = torch.zeros(max(map(int, lengths)), dtype=torch.uint8)
        padded[: len(data)] = torch.from_numpy(data.copy())
        texts = [each.numpy().tobytes() for each in self.gather(padded)]
        return [json.loads(text[: int(n)]) for text, n in zip(texts, lengths, strict=True)]

    def send(self, source: Path, target: Path | None, size: int) -> None:
        """Send a file of `size` bytes from process 0 to the processes that name a `target`."""
        data = np.memmap(source, np.uint8, "r") if self.is_first and size else None
        if target:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"")
        for begin in range(0, size, CHUNK):
            chunk = torch.empty(min(CHUNK, size - begin), dtype=torch.uint8)
            if data is not None:
                chunk = torch.from_numpy(np.array(data[begin : begin + len(chunk)]))
            with communicating():
                dist.broadcast(chunk, 0)
            if target:
                with target.open("ab") as file:
                    file.write(chunk.numpy().tobytes())

    @contextmanager
    def led(self) -> Iterator[None]:
        """See `Ranks`."""
        try:
            yield
        except BaseException:
            with suppress(RondelError):
                self.sum([1.0])
            raise
        if self.sum([0.0])[0]:
            raise reported(LostProcessError("process 0 failed; its line says why"))

    def compare(self, given: Mapping[str, Any], paths: Sequence[str] = (), text: str = "") -> None:
        """See `Ranks`; files are compared only between machines, by their bytes."""
        if "-" in paths:
            self.refuse("several processes cannot read standard input; name a file")
        facts = {flag_name(name): str(value) for name, value in given.items()}
        if text:
            facts["a text of SHA-256"] = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        elif self.here < self.size:
            facts["files of SHA-256"] = "" if self.number_here else _sum_of_texts(paths)
        self.check_same(facts)

    def check_same(self, facts: Mapping[str, str]) -> None:
        """Raise `InputError` unless the facts of all processes agree; an empty one is unknown."""
        reports = self.gather_values({"host": platform.node(), "facts": facts})
        names = {name for report in reports for name in report["facts"]}
        for name in sorted(names):
            for rank, report in enumerate(reports):
                fact, first = (each["facts"].get(name, "left out") for each in (report, reports[0]))
                if fact and first and fact != first:
                    self.refuse(
                        f"process {rank} (on {report['host']}) has {name} {fact}, and process 0 "
                        f"(on {reports[0]['host']}) has {first}; start the same on every machine"
                    )

    def check(self, training: TrainingConfig) -> None:
        """See `Ranks`."""
        if training.backend == "numpy":
            raise InputError("--backend numpy trains in one process; start it without torchrun")
        if training.batch_size < self.size:
            raise InputError(
                f"--batch-size {training.batch_size} is shared out among {self.size} processes; "
                f"give each a stream or more (--batch-size {8 * self.size}), or start fewer"
            )

    def refuse(self, message: str) -> None:
        """Raise an error that all processes raise; only process 0 prints it."""
        error = InputError(message)
        raise error if self.is_first else reported(error)


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """Connect the processes that `torchrun` started, until the block ends.

    Raises `InputError` if they cannot connect or run different versions.
    """
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        store, rank, size = store_of_all(STEP_SECONDS)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            timeout=timedelta(seconds=STEP_SECONDS),
            store=store,
            rank=rank,
            world_size=size,
        )
    except (RuntimeError, ValueError, TimeoutError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise InputError(
            f"the processes cannot reach each other at {where} ({str(error).splitlines()[0]}); "
            "start them with torchrun"
        ) from None
    _groups.append(dist.group.WORLD)
    try:
        ranks = ProcessGroup()
        ranks.check_same({"rondel": __version__, "PyTorch": torch.__version__})
        yield ranks
    finally:
        dist.destroy_process_group()


@contextmanager
def communicating() -> Iterator[None]:
    """Raise `LostProcessError` if a process is lost during the block, which waits for others."""
    try:
        yield
    except RuntimeError as error:
        if not LOST.search(str(error)):
            raise
        reason = str(error).splitlines()[0].rsplit("] ", 1)[-1]
        raise LostProcessError(
            f"a process that trains with this one is gone ({reason}); the last save is whole: "
            "continue from it with --resume, as torchrun --max-restarts does automatically"
        ) from None


def _sum_of_texts(paths: Sequence[str]) -> str:
    """Return the checksum of the files' bytes; empty if this machine has none of the files."""
    total, found = hashlib.sha256(), False
    for path in paths:
        matches = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207
        for match in map(Path, matches):
            below = sorted(match.rglob("*")) if match.is_dir() else [match]
            for file in below:
                if file.is_file():
                    found = True
                    total.update(sum_of_file(file).encode())
    return total.hexdigest()[:16] if found else ""
