"""Signals that ask a run to finish its step and save; a second Ctrl-C stops it at once.

They are SIGINT (Ctrl-C), SIGTERM, and SIGHUP, sent when a terminal or its connection is closed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rondel.training.ranks import Ranks, launch

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    WORDS[signal.SIGHUP] = "hung up"
OUTPUTS = (1, 2)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """A block that SIGTERM and SIGHUP leave by `SystemExit`, so that what it began is removed.

    For what has nothing to save yet. A signal that is handled or ignored already stays so, and so
    do all outside the main thread.
    """
    taken: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        for number in WORDS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _leave)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Interrupts:
    """A context that catches signals; `caught` names the one received, or is empty.

    Signals can be caught only in the main thread; in others this does nothing. A SIGHUP that is
    already ignored, by `nohup`, stays ignored. If several processes train together, a signal to one
    of them ends all of them at the same step.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._before: dict[signal.Signals, Any] = {}
        self._terminals: list[int] = []

    @property
    def caught(self) -> str:
        """The signal that ends the training, in words; empty if none does."""
        return self._ranks.stopped_by

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._terminals = [output for output in OUTPUTS if os.isatty(output)]
            for number, word in WORDS.items():
                if word != "hung up" or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        word = WORDS[signal.Signals(number)]
        if word == "hung up":
            self._leave_terminals()
        elif self._ranks.received and not launch():
            # torchrun forwards a Ctrl-C that its processes already received from the terminal.
            raise KeyboardInterrupt
        self._ranks.received = self._ranks.received or word

    def _leave_terminals(self) -> None:
        """Redirect output from a closed terminal to the null device."""
        for output in self._terminals:
            if not os.isatty(output):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, output)
                os.close(null)
