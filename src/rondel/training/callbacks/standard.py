"""The callbacks of an ordinary run."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rondel.training.callbacks.base import Callback
from rondel.training.callbacks.metrics import MetricsFile

if TYPE_CHECKING:
    from rich.console import Console


def standard_callbacks(
    console: Console | None = None, *, quiet: bool = False
) -> Sequence[Callback]:
    """Metrics, TensorBoard and the plot (where installed), and, unless `quiet`, the terminal.

    `console` is where to write; standard output if left out.
    """
    callbacks: list[Callback] = [MetricsFile()]
    if find_spec("tensorboard"):
        from rondel.training.callbacks.tensorboard import TensorBoard

        callbacks.append(TensorBoard())
    if find_spec("matplotlib"):
        from rondel.training.callbacks.plot import LossPlot

        callbacks.append(LossPlot())
    if not quiet:
        from rich.console import Console

        from rondel.training.callbacks.console import ConsoleProgress
        from rondel.training.callbacks.samples import Samples

        console = console or Console()
        callbacks += [ConsoleProgress(console), Samples(console)]
    return callbacks
