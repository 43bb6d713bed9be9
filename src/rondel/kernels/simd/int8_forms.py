"""Instructions and layouts for exact 32-bit sums of 8-bit weights times 16-bit activations.

Weights lie in panels of 16 columns, four k of a column together: `w[p, k // 4, column, k % 4]`.
Four k of an activation take 8 bytes, in a layout that depends on the processor: four int16; or,
where it multiplies bytes (VNNI), the four high bytes and then the four low bytes of x + 32768,
whose product is corrected by a `start` of -32768 times the column's sum. Integer sums do not round,
so every processor gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from rondel.kernels.compiling import features
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import INT8, INT16, INT32, INT64, Value
from rondel.kernels.simd.unit_groups import PANEL

K_PER_STEP = 4
LARGEST_WEIGHT, LARGEST_ACTIVATION = 127, 32767

COLUMN = ir.VectorType(INT32, PANEL)
Accumulators = list[Value]


def largest_activation(depth: int) -> int:
    """Return the largest activation whose products over `depth` k cannot overflow 32 bits."""
    return min(LARGEST_ACTIVATION, (2**31 - 1) // (LARGEST_WEIGHT * depth))


class Form(NamedTuple):
    """How to multiply by a panel: its accumulators, one step of four k, and their final sum."""

    accumulators: list[ir.VectorType]
    activations: Callable[[Any, Value], list[Value]]
    step: Callable[[Any, list[Value], Value, Accumulators], Accumulators]
    total: Callable[[Any, Accumulators], Value]
    offset: int
    """Added to each activation; `start` subtracts it again."""


def lanes_of(*indices: int) -> Value:
    """Return indices of lanes as LLVM's shuffle expects them."""
    return ir.Constant(ir.VectorType(INT32, len(indices)), list(indices))


def _pick_lanes(builder: Any, two: list[Value], first: int, step: int) -> Value:
    """Emit a vector of lanes `first`, `first + step` … of two vectors joined."""
    lanes = lanes_of(*range(first, 2 * two[0].type.count, step))
    return builder.shuffle_vector(*two, lanes)


def join_vectors(builder: Any, parts: list[Value]) -> Value:
    """Emit the concatenation of vectors."""
    while len(parts) > 1:
        parts = [_pick_lanes(builder, parts[i : i + 2], 0, 1) for i in range(0, len(parts), 2)]
    return parts[0]


def _by_bytes() -> Form:
    """Multiply sixteen columns of four bytes at once: first the high bytes, then the low ones."""
    vector, name = ir.VectorType(INT8, 64), "llvm.x86.avx512.vpdpbusd.512"

    def activations(builder: Any, x: Value) -> list[Value]:
        parts = [v.load(builder, v.at(builder, x, v.integer(i), INT32), INT32) for i in range(2)]
        return [builder.bitcast(v.splat(builder, part, COLUMN), vector) for part in parts]

    def step(builder: Any, x: list[Value], w: Value, sums: Accumulators) -> Accumulators:
        weights = v.load(builder, w, vector, align=1)
        return [
            v.call(builder, name, COLUMN, total, part, weights)
            for total, part in zip(sums, x, strict=True)
        ]

    def total(builder: Any, sums: Accumulators) -> Value:
        eight = ir.Constant(COLUMN, [8] * PANEL)
        return builder.add(builder.shl(sums[0], eight), sums[1])

    return Form([COLUMN] * 2, activations, step, total, 32768)


def _by_pairs(name: str, columns: int) -> Form:
    """Multiply `columns` columns of four int16 at once, summed in pairs."""
    weights = ir.VectorType(INT8, K_PER_STEP * columns)
    wide, pairs = (
        ir.VectorType(INT16, K_PER_STEP * columns),
        ir.VectorType(INT32, 2 * columns),
    )

    def activations(builder: Any, x: Value) -> list[Value]:
        four = v.load(builder, x, INT64)
        return [builder.bitcast(v.splat(builder, four, ir.VectorType(INT64, columns)), wide)]

    def step(builder: Any, x: list[Value], w: Value, sums: Accumulators) -> Accumulators:
        results = []
        for part, total in enumerate(sums):
            place = v.at(builder, w, v.integer(part * K_PER_STEP * columns), INT8)
            loaded = builder.sext(v.load(builder, place, weights, align=1), wide)
            product = v.call(builder, name, pairs, loaded, x[0])
            results.append(builder.add(total, product))
        return results

    def total(builder: Any, sums: Accumulators) -> Value:
        halves = [
            builder.add(*(_pick_lanes(builder, sums[i : i + 2], first, 2) for first in (0, 1)))
            for i in range(0, len(sums), 2)
        ]
        return join_vectors(builder, halves)

    return Form([pairs] * (PANEL // columns), activations, step, total, 0)


def _portable() -> Form:
    """Multiply four columns of four k at once, with instructions that every processor has."""
    weights, wide = ir.VectorType(INT8, 16), ir.VectorType(INT32, 16)

    def activations(builder: Any, x: Value) -> list[Value]:
        four = v.load(builder, x, INT64)
        shorts = builder.bitcast(
            v.splat(builder, four, ir.VectorType(INT64, 4)), ir.VectorType(INT16, 16)
        )
        return [builder.sext(shorts, wide)]

    def step(builder: Any, x: list[Value], w: Value, sums: Accumulators) -> Accumulators:
        results = []
        for part, total in enumerate(sums):
            place = v.at(builder, w, v.integer(16 * part), INT8)
            loaded = builder.sext(v.load(builder, place, weights, align=1), wide)
            results.append(builder.add(total, builder.mul(loaded, x[0])))
        return results

    def total(builder: Any, sums: Accumulators) -> Value:
        joined = []
        for i in (0, 2):
            quarters = [_pick_lanes(builder, sums[i : i + 2], k, 4) for k in range(K_PER_STEP)]
            left, right = builder.add(*quarters[:2]), builder.add(*quarters[2:])
            joined.append(builder.add(left, right))
        return join_vectors(builder, joined)

    return Form([wide] * 4, activations, step, total, 0)


def _form() -> Form:
    available = features()
    if {"avx512vnni", "avx512bw"} <= available:
        return _by_bytes()
    if "avx512bw" in available:
        return _by_pairs("llvm.x86.avx512.pmaddw.d.512", 8)
    if "avx2" in available:
        return _by_pairs("llvm.x86.avx2.pmadd.wd", 4)
    return _portable()


FORM = _form()
