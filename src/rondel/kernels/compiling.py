"""How kernels are compiled: without the interpreter lock, and cached on disk across processes."""

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

from rondel.kernels.cache import KernelCache, tell_of_no_cache

F = TypeVar("F", bound=Callable[..., Any])
numba_config: Any = config
OPTIONS: dict[str, Any] = {"error_model": "numpy"}


@cache
def features() -> frozenset[str]:
    """What the processor that is compiled for has, in LLVM's words: "avx2", "avx512f" …"""
    named = numba_config.CPU_FEATURES
    if named is not None:
        return frozenset(part[1:] for part in named.split(",") if part.startswith("+"))
    if numba_config.CPU_NAME not in (None, "", "host"):
        return frozenset()
    return frozenset(name for name, there in llvm.get_host_cpu_features().items() if there)


def compiled(function: F) -> F:
    """Compile a function on its first call; later processes take it from the disk."""
    dispatcher: Any = numba.njit(nogil=True, **OPTIONS)(function)
    dispatcher._cache = _cache_of(function)
    return cast("F", dispatcher)


def compile_now(function: Callable[..., None], arguments: int) -> Any:
    """Compile a C function of so many integers, or take it from the disk; it has an `address`."""
    # As `numba.cfunc` does, with a cache of our own.
    result: Any = CFunc(function, ((types.int64,) * arguments, types.void), {}, OPTIONS)
    result._cache = _cache_of(function)
    result.compile()
    return result


def exported(name: str, arguments: int) -> Callable[[Callable[..., None]], Any]:
    """Compile a function of so many integers now, for others to call by `call_of_exported`.

    What a kernel calls in any other way is compiled anew as a part of it.
    """

    def decorate(function: Callable[..., None]) -> Any:
        result = compile_now(function, arguments)
        llvm.add_symbol(name, result.address)
        return result

    return decorate


def call_of_exported(name: str, arguments: int) -> Any:
    """What an intrinsic of so many integers returns that is a call of the function of this name."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = builder.module.globals.get(name) or ir.Function(
            builder.module, _c_function(arguments), name
        )
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(*[types.int64] * arguments), generate


def call_at_address(arguments: int) -> Any:
    """What an intrinsic returns that calls a C function: its address, then so many integers."""

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
    except RuntimeError:  # no folder can be written: compile anew in each process
        tell_of_no_cache("there is no folder that can be written")
        return NullCache()


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`: a function whose code `function` writes, by way of LLVM."""
    return numba.extending.intrinsic(function)
