"""Compiled CPU kernels: packed matmuls, and the fused pointwise of the cells that have one.

Numba compiles them for the processor at hand, once, and keeps them on disk. Import what is under
here only where `usable()` is true.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache

from rondel.errors import SlowerWarning, warn_of

DISABLING_VARIABLE = "RONDEL_NO_KERNELS"


@cache
def why_unusable() -> str | None:
    """Why kernels cannot be used, with what to do about it; None if they can.

    Warns, once, unless the user forbade them with `RONDEL_NO_KERNELS=1`.
    """
    if os.environ.get(DISABLING_VARIABLE, "") not in ("", "0"):
        return f"{DISABLING_VARIABLE} is set: unset it"
    if importlib.util.find_spec("numba") is None:
        reason = "numba is not installed: pip install numba"
    else:
        try:
            if _to_tell:
                _tell_of_compiling()
            # What all other kernels call: compiled as it is imported, or taken from the disk.
            from rondel.kernels.simd import matmul  # noqa: F401
        except Exception as error:  # Numba fails in ways of its own (ImportError, OSError …)
            reason = first_line(error)
        else:
            return None
    warn_of(f"no compiled kernels, so all is slower: {reason}", SlowerWarning)
    return reason


def usable() -> bool:
    """Whether Numba is here and works, and no `RONDEL_NO_KERNELS=1` forbids its use."""
    return why_unusable() is None


def first_line(error: Exception) -> str:
    """The first line of what an error says, or else its name."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


_to_tell: list[Callable[[], None]] = []


def when_compiling(tell: Callable[[], None]) -> None:
    """Have `tell` called, once, if a kernel is to be compiled, which takes a while.

    To be asked before the first kernel is; those that are on the disk already are not compiled.
    """
    _to_tell.append(tell)


def _tell_of_compiling() -> None:
    from numba.core import event

    class Telling(event.Listener):
        def on_start(self, event: object) -> None:
            while _to_tell:
                _to_tell.pop()()

        def on_end(self, event: object) -> None:
            """It has been told."""

    event.register("numba:run_pass", Telling())  # type: ignore[no-untyped-call]
