"""Progress bars for work that prints nothing meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rondel.text.storing import WatchReading, unwatched_reading

SHOWN_FROM = 1 << 26
"""Size in bytes from which a text is shown with its own progress bar."""


class ProgressBar:
    """A progress bar on standard error, if it is a terminal; call it with the fraction done."""

    def __enter__(self) -> ProgressBar:
        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("reading", total=1.0)
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __call__(self, fraction: float) -> None:
        """Show the fraction done."""
        self._bar.update(self._task, completed=fraction)

    def __exit__(self, *_: object) -> None:
        if self._bar.console.is_terminal:
            self._bar.stop()


@contextmanager
def watched_reading(quiet: bool = False) -> Iterator[WatchReading]:
    """Progress bars for long texts (bytes, speed, time left), if standard error is a terminal."""
    console = Console(stderr=True, quiet=quiet)
    if quiet or not console.is_terminal:
        yield unwatched_reading
        return
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"), BarColumn(), *columns, console=console, transient=True
    ) as bar:
        tasks = {}

        def watch(what: str, done: int, total: int) -> None:
            if what not in tasks and max(done, total) >= SHOWN_FROM:
                tasks[what] = bar.add_task(what, total=total or None)
            if what in tasks:
                bar.update(tasks[what], completed=done)

        yield watch
