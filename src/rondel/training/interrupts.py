"""Signals that ask a run to finish its step and save; a second Ctrl-C does not wait.

Ctrl-C, SIGTERM, and SIGHUP, which comes as a terminal is closed or a connection to it is lost.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from rondel.training.ranks import Ranks, launch

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    WORDS[signal.SIGHUP] = "hung up"
OUTPUTS = (1, 2)


class Interrupts:
    """While entered, `caught` says which signal came; it is empty while none has.

    Signals can be caught in the main thread only; elsewhere this does nothing. A SIGHUP that is
    ignored already, by `nohup`, stays ignored. Where several processes train together, one signal
    to one of them ends them all, at the same step.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._before: dict[signal.Signals, Any] = {}
        self._terminals: list[int] = []

    @property
    def caught(self) -> str:
        """Which signal ends the training; empty while none does."""
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
            # torchrun hands on a Ctrl-C that its processes have had from the terminal already.
            raise KeyboardInterrupt
        self._ranks.received = self._ranks.received or word

    def _leave_terminals(self) -> None:
        """Write to nowhere from here on instead of to a terminal that is gone."""
        for output in self._terminals:
            if not os.isatty(output):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, output)
                os.close(nowhere)
