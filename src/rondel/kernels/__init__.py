"""Compiled CPU kernels: packed matmuls, and the fused pointwise of the cells that have one.

Numba compiles them for the processor at hand, once, and keeps them on disk. Import what is under
here only where `usable()` is true.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache

DISABLING_VARIABLE = "RONDEL_NO_KERNELS"


@cache
def usable() -> bool:
    """Whether Numba is here and works, and no `RONDEL_NO_KERNELS=1` forbids its use."""
    if os.environ.get(DISABLING_VARIABLE, "") not in ("", "0"):
        return False
    if importlib.util.find_spec("numba") is None:
        return False
    try:
        from rondel.kernels import compiling
    except Exception:  # a Numba that cannot load fails in ways of its own (ImportError, OSError …)
        return False
    return compiling.works()
