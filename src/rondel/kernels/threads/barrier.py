"""Where the threads of one kernel wait for each other, without keeping a busy machine from work."""

from __future__ import annotations

import os
import platform
from typing import Any

from llvmlite import ir
from numba import types

from rondel.kernels.compiling import compiled, intrinsic
from rondel.kernels.simd import vectors as v
from rondel.kernels.simd.vectors import INT32, INT64, Value

# Looks before a thread gives its time to others: longer than a step of the others takes.
PATIENCE = 100
_PAUSES = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@intrinsic
def _arrive(_: Any, place: Any) -> Any:
    """Add 1 to the integer at an address; what it was before."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        where = v.pointer(builder, arguments[0])
        return builder.atomic_rmw("add", where, v.integer(1), "acq_rel")

    return types.int64(types.uintp), generate


@intrinsic
def _arrived(_: Any, place: Any) -> Any:
    """The integer at an address, as the other threads left it."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        return builder.load_atomic(v.pointer(builder, arguments[0]), "acquire", 8, typ=INT64)

    return types.int64(types.uintp), generate


@intrinsic
def _pause(_: Any) -> Any:
    """Tell the processor that this thread waits."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        if _PAUSES:
            v.call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _give_way(_: Any) -> Any:
    """Let the system run another thread, where it has a call for that."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        if os.name == "posix":
            v.call(builder, "sched_yield", INT32)
        return context.get_dummy_value()

    return types.void(), generate


@compiled
def wait_for_all(place: int, members: int, round_number: int) -> None:
    """Go on once every member has come here `round_number` times; counted at an address."""
    _arrive(place)
    looks = 0
    while _arrived(place) < members * round_number:
        looks += 1
        if looks < PATIENCE:
            _pause()
        else:
            _give_way()
