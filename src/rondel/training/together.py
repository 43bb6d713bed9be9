"""One run trained by several processes.

Only process 0 makes the run, writes, prints and has callbacks. The others load what it wrote: from
its folder if they can see it, otherwise from a copy that it sends them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rondel.artifact import MODEL, TOKENIZER, WEIGHTS
from rondel.errors import RondelError, reported, require
from rondel.files import sum_of_file
from rondel.training.folder import RunFolder
from rondel.training.ranks import Ranks
from rondel.training.run import RESUME, SETTINGS, TOKENS, Run
from rondel.training.start import follow

if TYPE_CHECKING:
    from rondel.training.distributed import ProcessGroup

T = TypeVar("T")
FILES = (MODEL, TOKENIZER, WEIGHTS, SETTINGS, RESUME)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Connect this process to those that `torchrun` started with it, if any, for the block.

    Raises `InputError` if they cannot reach each other, or run different versions.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield Ranks()
        return
    require("torch", "train")
    from rondel.training.distributed import process_group

    with process_group() as ranks:
        yield ranks


def together(ranks: Ranks, make: Callable[[], Run]) -> Run:
    """Return the run that process 0 makes with `make`, in every process.

    If one process fails, all of them fail, and one prints the error.
    """
    if ranks.size == 1:
        run = make()
        run.ranks = ranks
        return run
    group = cast("ProcessGroup", ranks)
    made: Run | None = _agreed(group, make if group.is_first else _nothing)

    def take_part() -> Run:
        run = made or follow(FollowedFolder(Path(path), is_published, place, copies))
        run.take_part(group)
        return run

    with ExitStack() as opened:
        if made is not None:
            opened.callback(made.close)
        own = (str(made.home.path.absolute()), made.home.is_published) if made else None
        path, is_published = group.gather_values(own)[0]
        copies = opened.enter_context(ExitStack())
        place = _seen(group, made.folder if made else None, RESUME, copies)
        run = cast("Run", _agreed(group, take_part))
        opened.pop_all()  # the run closes what it holds
    return run


@contextmanager
def shown(ranks: Ranks, folder: Path) -> Iterator[Path]:
    """Give the path where this process can read a model folder of process 0."""
    if ranks.size == 1:
        yield folder
        return
    with ExitStack() as copies:
        group = cast("ProcessGroup", ranks)
        yield _seen(group, folder if group.is_first else None, WEIGHTS, copies)
        group.sum([])  # process 0 may remove it now


class FollowedFolder(RunFolder):
    """The folder of a run, for a process that only reads it while process 0 has its lock.

    `seen` is where its files are now: `path`, a draft beside it, or a copy, which closing `copies`
    removes.
    """

    def __init__(self, path: Path, is_published: bool, seen: Path, copies: ExitStack) -> None:
        self.path, self.is_published = path, is_published
        self._seen, self._copies = seen, copies

    @property
    def place(self) -> Path:
        """See `RunFolder`."""
        return self._seen

    def publish(self) -> None:
        """Follow process 0, which moved the draft to `path`."""
        if not self.is_published and self._seen.parent == self.path.parent:
            self._seen = self.path
        self.is_published = True

    def close(self) -> None:
        """Remove the copy, if there is one."""
        self._copies.close()


def _nothing() -> None:
    """Do nothing, while process 0 works."""


def _agreed(group: ProcessGroup, act: Callable[[], Any]) -> Any:
    """Return what `act` returns; if it fails in one process, all fail, and one prints the error."""
    result, own = None, None
    try:
        result = act()
    except (RondelError, OSError) as error:
        own = error
    faults = group.gather_values("" if own is None else str(own) or repr(own))
    rank = next((rank for rank, fault in enumerate(faults) if fault), None)
    if rank is None:
        return result
    if own is not None and rank == group.rank:
        raise own
    raise reported(RondelError(f"process {rank}: {faults[rank]}"))


def _seen(group: ProcessGroup, folder: Path | None, mark: str, copies: ExitStack) -> Path:
    """Return the path of a folder of process 0, or of a copy if this process cannot see it.

    The folder is recognised by the checksum of the file named `mark`.
    """
    own = None
    if folder is not None:
        tokens = [f"{TOKENS}/{path.name}" for path in sorted((folder / TOKENS).glob("*"))]
        files = [name for name in (*FILES, *tokens) if (folder / name).is_file()]
        sizes = {name: (folder / name).stat().st_size for name in files}
        own = {"place": str(folder.absolute()), "sum": sum_of_file(folder / mark), "sizes": sizes}
    first = group.gather_values(own)[0]
    place = Path(first["place"])
    marked = place / mark
    sees = folder is not None or (marked.is_file() and sum_of_file(marked) == first["sum"])
    if all(group.gather_values(sees)):
        return place
    copy = None
    if not sees:
        copy = Path(copies.enter_context(tempfile.TemporaryDirectory()))
    for name, size in first["sizes"].items():
        group.send(place / name, copy and copy / name, size)
    return copy or place
