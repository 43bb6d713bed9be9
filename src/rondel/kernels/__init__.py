"""Compiled CPU kernels: packed matmuls, and fused pointwise operations of cells.

Numba compiles them once for this processor and caches them on disk. Import the submodules only
where `usable()` is true.
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
    """Return why kernels cannot be used and what to do about it; None if they can be used.

    Warns once, unless the user disabled them with `RONDEL_NO_KERNELS=1`.
    """
    if os.environ.get(DISABLING_VARIABLE, "") not in ("", "0"):
        return f"{DISABLING_VARIABLE} is set: unset it"
    if importlib.util.find_spec("numba") is None:
        reason = "numba is not installed: pip install numba"
    else:
        try:
            if _compile_listeners:
                _listen_for_compilation()
            # All other kernels call it. Importing compiles it, or loads it from the cache.
            from rondel.kernels.simd import matmul  # noqa: F401
        except Exception as error:  # Numba raises many types: ImportError, OSError …
            reason = first_line(error)
        else:
            return None
    warn_of(f"no compiled kernels, so everything is slower: {reason}", SlowerWarning)
    return reason


def usable() -> bool:
    """Whether Numba is installed and works, and `RONDEL_NO_KERNELS=1` is not set."""
    return why_unusable() is None


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type's name if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


_compile_listeners: list[Callable[[], None]] = []


def when_compiling(listener: Callable[[], None]) -> None:
    """Call `listener` once, when the first kernel that is not in the cache is compiled.

    Register it before the first call of `usable`.
    """
    _compile_listeners.append(listener)


def _listen_for_compilation() -> None:
    from numba.core import event

    class CompileListener(event.Listener):
        def on_start(self, event: object) -> None:
            while _compile_listeners:
                _compile_listeners.pop()()

        def on_end(self, event: object) -> None:
            """Do nothing: the listeners were called at the start."""

    event.register("numba:run_pass", CompileListener())  # type: ignore[no-untyped-call]
