"""A progress bar for what takes a while and prints nothing meanwhile."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress


class Waiting:
    """A progress bar on standard error, on a terminal only; call it with the fraction done."""

    def __enter__(self) -> Waiting:
        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("reading", total=1.0)
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __call__(self, fraction: float) -> None:
        """Show that so much is done."""
        self._bar.update(self._task, completed=fraction)

    def __exit__(self, *_: object) -> None:
        if self._bar.console.is_terminal:
            self._bar.stop()
