"""Eight bytes of a text at a time, as an integer whose lowest byte is the first of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from rondel.kernels.compiling import intrinsic
from rondel.kernels.simd import llvm_vectors as v

ONES, HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


@intrinsic
def eight_bytes(_: Any, address: Any) -> Any:
    """Load the 8 bytes at an address (uint64), as a uint64."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return v.load(builder, v.pointer(builder, values[0]), v.INT64, align=1)

    return types.uint64(types.uint64), generate


@intrinsic
def trailing_zeros(_: Any, bits: Any) -> Any:
    """How many bits of a uint64 are zero below the lowest that is set; 64 if none is."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate
