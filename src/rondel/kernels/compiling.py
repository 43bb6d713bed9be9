"""How kernels are compiled: without the interpreter lock, and cached on disk across processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
import numba
import numba.extending
import platformdirs
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])
numba_config: Any = config


@cache
def features() -> frozenset[str]:
    """What the processor that is compiled for has, in LLVM's words: "avx2", "avx512f" …"""
    named = numba_config.CPU_FEATURES
    if named is not None:
        return frozenset(part[1:] for part in named.split(",") if part.startswith("+"))
    if numba_config.CPU_NAME not in (None, "", "host"):
        return frozenset()
    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: one folder for each version of their sources.

    Numba looks at the age of the file a function is in, and not at that of the files it uses.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("rondel")) / "kernels" / digest


def compiled(function: F) -> F:
    """Compile a function on its first call; later processes take it from the disk."""
    chosen = numba_config.CACHE_DIR
    try:
        # Read by Numba here and now only: other users of Numba in this process keep their folder.
        numba_config.CACHE_DIR = chosen or str(cache_folder())
        decorate = numba.njit(nogil=True, cache=True, error_model="numpy")
        return cast("F", decorate(function))
    except RuntimeError:  # no folder can be written: compile anew in each process
        return cast("F", numba.njit(nogil=True, error_model="numpy")(function))
    finally:
        numba_config.CACHE_DIR = chosen


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`: a function whose code `function` writes, by way of LLVM."""
    return numba.extending.intrinsic(function)


def works() -> bool:
    """Whether Numba can compile at all on this machine."""
    return True
