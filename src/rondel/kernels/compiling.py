"""Compile kernels: they release the interpreter lock, and are cached on disk across processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
import numba
import numba.extending
from llvmlite import ir
from numba import types
from numba.core import config
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc

from rondel.kernels.kernel_cache import KernelCache, warn_of_no_cache

F = TypeVar("F", bound=Callable[..., Any])
numba_config: Any = config
OPTIONS: dict[str, Any] = {"error_model": "numpy"}


@cache
def features() -> frozenset[str]:
    """Return the target processor's features, as LLVM names them: "avx2", "avx512f" …"""
    named = numba_config.CPU_FEATURES
    if named is not None:
        return frozenset(part[1:] for part in named.split(",") if part.startswith("+"))
    if numba_config.CPU_NAME not in (None, "", "host"):
        return frozenset()
    return frozenset(name for name, available in llvm.get_host_cpu_features().items() if available)


def compiled(function: F) -> F:
    """Compile a function on its first call; later processes load it from the cache."""
    dispatcher: Any = numba.njit(nogil=True, **OPTIONS)(function)
    dispatcher._cache = _cache_of(function)
    return cast("F", dispatcher)


def compile_now(function: Callable[..., None], arguments: int) -> Any:
    """Compile a C function of `arguments` int64s, or load it; the result has an `address`."""
    # As `numba.cfunc` does, but with `KernelCache`.
    result: Any = CFunc(function, ((types.int64,) * arguments, types.void), {}, OPTIONS)
    result._cache = _cache_of(function)
    result.compile()
    return result


def exported(name: str, arguments: int) -> Callable[[Callable[..., None]], Any]:
    """Compile a function of `arguments` int64s now, to be called by `call_of_exported`.

    A function that a kernel calls directly is compiled again as a part of that kernel.
    """

    def decorate(function: Callable[..., None]) -> Any:
        result = compile_now(function, arguments)
        llvm.add_symbol(name, result.address)
        return result

    return decorate


def call_of_exported(name: str, arguments: int) -> Any:
    """Return signature and generator of an intrinsic that calls the exported function `name`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = builder.module.globals.get(name) or ir.Function(
            builder.module, _c_function(arguments), name
        )
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(*[types.int64] * arguments), generate


def call_at_address(arguments: int) -> Any:
    """Return signature and generator of an intrinsic: a C function's address, then its int64s."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, *others = values
        function = builder.inttoptr(address, ir.PointerType(_c_function(arguments)))
        builder.call(function, others)
        return context.get_dummy_value()

    return types.void(*[types.int64] * (1 + arguments)), generate


def _c_function(arguments: int) -> Any:
    return ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * arguments)


def _cache_of(function: Callable[..., Any]) -> Any:
    try:
        return KernelCache(function)
    except RuntimeError:
        warn_of_no_cache("no folder is writable")
        return NullCache()


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`, typed: `function` emits the LLVM code of each call."""
    return numba.extending.intrinsic(function)
