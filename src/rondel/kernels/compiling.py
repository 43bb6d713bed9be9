"""How kernels are compiled: without the interpreter lock, and cached on disk across processes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
import numba
import numba.extending
import platformdirs
from llvmlite import ir
from numba import types
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])
numba_config: Any = config
VERSIONS_KEPT = 3


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
    folder = Path(platformdirs.user_cache_dir("rondel")) / "kernels" / digest
    with suppress(OSError):
        _remove_old(folder)
    return folder


def _remove_old(folder: Path) -> None:
    """Remove what other versions compiled, but for the latest few, which may be in use."""
    others = [other for other in folder.parent.glob("*") if other != folder]
    others.sort(key=lambda other: other.stat().st_mtime, reverse=True)
    for other in others[VERSIONS_KEPT:]:
        shutil.rmtree(other, ignore_errors=True)


def compiled(function: F) -> F:
    """Compile a function on its first call; later processes take it from the disk."""
    return cast("F", _cached(numba.njit, function, nogil=True, error_model="numpy"))


def exported(name: str, arguments: int) -> Callable[[Callable[..., None]], Any]:
    """Compile a function of so many integers now, for others to call by `call_of_exported`.

    What a kernel calls in any other way is compiled anew as a part of it.
    """
    signature = types.void(*[types.int64] * arguments)

    def decorate(function: Callable[..., None]) -> Any:
        result = _cached(partial(numba.cfunc, signature), function, error_model="numpy")
        llvm.add_symbol(name, result.address)
        return result

    return decorate


def call_of_exported(name: str, arguments: int) -> Any:
    """What an intrinsic of so many integers returns that is a call of the function of this name."""
    integers = [ir.IntType(64)] * arguments

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = builder.module.globals.get(name) or ir.Function(
            builder.module, ir.FunctionType(ir.VoidType(), integers), name
        )
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(*[types.int64] * arguments), generate


def _cached(decorator: Callable[..., Any], function: Callable[..., Any], **options: Any) -> Any:
    chosen = numba_config.CACHE_DIR
    try:
        # Read by Numba here and now only: other users of Numba in this process keep their folder.
        numba_config.CACHE_DIR = chosen or str(cache_folder())
        return decorator(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written: compile anew in each process
        return decorator(**options)(function)
    finally:
        numba_config.CACHE_DIR = chosen


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`: a function whose code `function` writes, by way of LLVM."""
    return numba.extending.intrinsic(function)
