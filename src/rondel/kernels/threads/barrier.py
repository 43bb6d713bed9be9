"""A barrier for the threads of one kernel: it spins for a short time, then yields."""

from __future__ import annotations

import os
import platform
from typing import Any

from llvmlite import ir
from numba import types

from rondel.kernels.compiling import compiled, intrinsic
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import INT32, INT64, Value

# Longer than the other threads need for a step.
SPINS_BEFORE_YIELD = 100
_PAUSES = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@intrinsic
def _arrive(_: Any, counter: Any) -> Any:
    """Add 1 to the integer at an address, atomically; return its old value."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        where = v.pointer(builder, arguments[0])
        return builder.atomic_rmw("add", where, v.integer(1), "acq_rel")

    return types.int64(types.uintp), generate


@intrinsic
def _count_arrived(_: Any, counter: Any) -> Any:
    """Read the integer at an address, atomically."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        return builder.load_atomic(v.pointer(builder, arguments[0]), "acquire", 8, typ=INT64)

    return types.int64(types.uintp), generate


@intrinsic
def _pause(_: Any) -> Any:
    """Hint to the processor that this thread spins."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        if _PAUSES:
            v.call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _yield_thread(_: Any) -> Any:
    """Let the system run another thread, where it has `sched_yield`."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        if os.name == "posix":
            v.call(builder, "sched_yield", INT32)
        return context.get_dummy_value()

    return types.void(), generate


@compiled
def wait_for_all(counter: int, workers: int, round_number: int) -> None:
    """Return once all workers have called it `round_number` times; `counter` is an address."""
    _arrive(counter)
    spins = 0
    while _count_arrived(counter) < workers * round_number:
        spins += 1
        if spins < SPINS_BEFORE_YIELD:
            _pause()
        else:
            _yield_thread()
