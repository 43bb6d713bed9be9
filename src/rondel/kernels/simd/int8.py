"""Products of 8-bit weights and 16-bit activations, in 32-bit integers that are exact.

Weights lie in panels of 16 columns, four k of a column together: `w[p, k // 4, column, k % 4]`.
Activations take 8 bytes for four k, in one of two forms that the processor at hand decides: four
int16; or, where it multiplies bytes (VNNI), the four high bytes and then the four low ones of
x + 32768, whose product is put right by a `start` of -32768 times the column's sum.
Integers know no rounding, so every processor comes to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

from rondel.kernels.compiling import features, intrinsic
from rondel.kernels.simd import vectors as v
from rondel.kernels.simd.matmul import PANEL
from rondel.kernels.simd.vectors import FLOAT, INT8, INT16, INT32, INT64, LANES, Value, Vector

TOGETHER = 4  # k of a column
MOST_PANELS = 4
LARGEST_WEIGHT, LARGEST_ACTIVATION = 127, 32767
AHEAD = 1024  # bytes of each panel that are asked for before they are read

_COLUMN = ir.VectorType(INT32, PANEL)
Accumulators = list[Value]


def largest_activation(depth: int) -> int:
    """The largest activation whose products over `depth` k cannot overflow 32 bits."""
    return min(LARGEST_ACTIVATION, (2**31 - 1) // (LARGEST_WEIGHT * depth))


class Form(NamedTuple):
    """How products are made: accumulators of a panel, one step of four k, their sum at the end."""

    accumulators: list[ir.VectorType]
    activations: Callable[[Any, Value], list[Value]]
    step: Callable[[Any, list[Value], Value, Accumulators], Accumulators]
    total: Callable[[Any, Accumulators], Value]
    offset: int
    """What is added to an activation, and taken off again by `start`."""


def _lanes(*indices: int) -> Value:
    return ir.Constant(ir.VectorType(INT32, len(indices)), list(indices))


def _every(builder: Any, two: list[Value], first: int, step: int) -> Value:
    """Lanes `first`, `first + step` … of two vectors, one after the other."""
    lanes = _lanes(*range(first, 2 * two[0].type.count, step))
    return builder.shuffle_vector(*two, lanes)


def _joined(builder: Any, parts: list[Value]) -> Value:
    while len(parts) > 1:
        parts = [_every(builder, parts[i : i + 2], 0, 1) for i in range(0, len(parts), 2)]
    return parts[0]


def _by_bytes() -> Form:
    """Sixteen columns of four bytes at once, once for the high bytes and once for the low."""
    vector, name = ir.VectorType(INT8, 64), "llvm.x86.avx512.vpdpbusd.512"

    def activations(builder: Any, x: Value) -> list[Value]:
        parts = [v.load(builder, v.at(builder, x, v.integer(i), INT32), INT32) for i in range(2)]
        return [builder.bitcast(v.splat(builder, part, _COLUMN), vector) for part in parts]

    def step(builder: Any, x: list[Value], w: Value, sums: Accumulators) -> Accumulators:
        weights = v.load(builder, w, vector, align=1)
        return [
            v.call(builder, name, _COLUMN, total, part, weights)
            for total, part in zip(sums, x, strict=True)
        ]

    def total(builder: Any, sums: Accumulators) -> Value:
        eight = ir.Constant(_COLUMN, [8] * PANEL)
        return builder.add(builder.shl(sums[0], eight), sums[1])

    return Form([_COLUMN] * 2, activations, step, total, 32768)


def _by_pairs(name: str, columns: int) -> Form:
    """`columns` columns of four int16 at once, added up in pairs."""
    weights = ir.VectorType(INT8, TOGETHER * columns)
    wide, pairs = (
        ir.VectorType(INT16, TOGETHER * columns),
        ir.VectorType(INT32, 2 * columns),
    )

    def activations(builder: Any, x: Value) -> list[Value]:
        four = v.load(builder, x, INT64)
        return [builder.bitcast(v.splat(builder, four, ir.VectorType(INT64, columns)), wide)]

    def step(builder: Any, x: list[Value], w: Value, sums: Accumulators) -> Accumulators:
        results = []
        for part, total in enumerate(sums):
            place = v.at(builder, w, v.integer(part * TOGETHER * columns), INT8)
            loaded = builder.sext(v.load(builder, place, weights, align=1), wide)
            product = v.call(builder, name, pairs, loaded, x[0])
            results.append(builder.add(total, product))
        return results

    def total(builder: Any, sums: Accumulators) -> Value:
        halves = [
            builder.add(
                _every(builder, sums[i : i + 2], 0, 2), _every(builder, sums[i : i + 2], 1, 2)
            )
            for i in range(0, len(sums), 2)
        ]
        return _joined(builder, halves)

    return Form([pairs] * (PANEL // columns), activations, step, total, 0)


def _portable() -> Form:
    """Four columns of four k at once, with nothing that only some processors have."""
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
            quarters = [_every(builder, sums[i : i + 2], k, 4) for k in range(TOGETHER)]
            left, right = builder.add(*quarters[:2]), builder.add(*quarters[2:])
            joined.append(builder.add(left, right))
        return _joined(builder, joined)

    return Form([wide] * 4, activations, step, total, 0)


def _form() -> Form:
    there = features()
    if {"avx512vnni", "avx512bw"} <= there:
        return _by_bytes()
    if "avx512bw" in there:
        return _by_pairs("llvm.x86.avx512.pmaddw.d.512", 8)
    if "avx2" in there:
        return _by_pairs("llvm.x86.avx2.pmadd.wd", 4)
    return _portable()


FORM = _form()


def _product(builder: Any, panels: int, arguments: list[Value]) -> None:
    """Emit z += scale * unit * (start + w x) for some panels."""
    steps, x, w, w_panel, start, scale, unit, z, z_panel = arguments
    x, w, start, scale, z = (v.pointer(builder, place) for place in (x, w, start, scale, z))
    before, loop = builder.block, builder.append_basic_block("k")
    after = builder.append_basic_block("total")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(INT64)
    step.add_incoming(v.integer(0), before)
    zeros = [ir.Constant(kind, [0] * kind.count) for kind in FORM.accumulators]
    running = [[builder.phi(zero.type) for zero in zeros] for _ in range(panels)]
    for sums in running:
        for phi, zero in zip(sums, zeros, strict=True):
            phi.add_incoming(zero, before)
    at_x = v.at(builder, x, builder.mul(step, v.integer(2 * TOGETHER)), INT8)
    activations = FORM.activations(builder, at_x)
    row = builder.mul(step, v.integer(TOGETHER * PANEL))
    results = []
    for panel, sums in enumerate(running):
        offset = builder.add(row, builder.mul(w_panel, v.integer(panel)))
        place = v.at(builder, w, offset, INT8)
        v.prefetch(builder, v.at(builder, place, v.integer(AHEAD), INT8))
        results.append(FORM.step(builder, activations, place, list(sums)))
    following = builder.add(step, v.integer(1))
    step.add_incoming(following, builder.block)
    for sums, new in zip(running, results, strict=True):
        for phi, value in zip(sums, new, strict=True):
            phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)
    unit = v.splat(builder, unit)
    for panel, sums in enumerate(results):
        total = FORM.total(builder, sums)
        for lane in range(0, PANEL, LANES):
            offset = v.integer(panel * PANEL + lane)
            place = v.at(
                builder, z, builder.add(builder.mul(z_panel, v.integer(panel)), v.integer(lane))
            )
            part = builder.shuffle_vector(total, total, _lanes(*range(lane, lane + LANES)))
            kind = ir.VectorType(INT32, LANES)
            part = builder.add(part, v.load(builder, v.at(builder, start, offset, INT32), kind))
            factor = Vector(builder, v.load(builder, v.at(builder, scale, offset)))
            number = Vector(builder, builder.sitofp(part, v.VECTOR))
            old = Vector(builder, v.load(builder, place))
            v.store(builder, number.fma(factor * Vector(builder, unit), old).value, place)


@intrinsic
def add_product(
    _: Any,
    panels: Any,
    steps: Any,
    x: Any,
    w: Any,
    w_panel: Any,
    start: Any,
    scale: Any,
    unit: Any,
    z: Any,
    z_panel: Any,
) -> Any:
    """z[p, j] += scale[p, j] * unit * (w[p] x)[j] for one row x and up to four panels.

    `steps` is k / 4, `w_panel` the distance of panels in bytes, `z_panel` in floats; `start` and
    `scale` lie together, `unit` is what 1 stands for in the activations.
    """
    n, p = types.intp, types.uintp
    signature = types.void(n, n, p, p, n, p, p, types.float32, p, n)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        count, *others = arguments
        finished = builder.append_basic_block("finished")
        choice = builder.switch(count, finished)
        for number in range(1, MOST_PANELS + 1):
            case = builder.append_basic_block(f"panels{number}")
            choice.add_case(ir.Constant(INT64, number), case)
            builder.position_at_end(case)
            _product(builder, number, others)
            builder.branch(finished)
        builder.position_at_end(finished)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def quantise_row(_: Any, units: Any, source: Any, distance: Any, factor: Any, target: Any) -> Any:
    """Activations of a row, x * factor, rounded; its columns of 16 lie `distance` floats apart."""
    signature = types.void(types.intp, types.uintp, types.intp, types.float32, types.uintp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        units, source, distance, factor, target = arguments
        source, target = v.pointer(builder, source), v.pointer(builder, target)
        factor = Vector(builder, v.splat(builder, factor))
        before, loop = builder.block, builder.append_basic_block("units")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        unit = builder.phi(INT64)
        unit.add_incoming(v.integer(0), before)
        parts = []
        for lane in range(0, PANEL, LANES):
            offset = builder.add(builder.mul(unit, distance), v.integer(lane))
            scaled = Vector(builder, v.load(builder, v.at(builder, source, offset))) * factor
            scaled = scaled.within(float(LARGEST_ACTIVATION))
            name = f"llvm.nearbyint.v{LANES}f32"
            whole = v.call(builder, name, v.VECTOR, scaled.value)
            parts.append(builder.fptosi(whole, ir.VectorType(INT32, LANES)))
        row = v.at(builder, target, builder.mul(unit, v.integer(2 * PANEL)), INT8)
        v.store(builder, _stored(builder, _joined(builder, parts)), row, align=1)
        following = builder.add(unit, v.integer(1))
        unit.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, units), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return signature, generate


def _stored(builder: Any, integers: Value) -> Value:
    """Sixteen activations in the form that products take them in."""
    if FORM.offset == 0:
        return builder.trunc(integers, ir.VectorType(INT16, PANEL))
    moved = builder.add(integers, ir.Constant(_COLUMN, [FORM.offset] * PANEL))
    high = builder.lshr(moved, ir.Constant(_COLUMN, [8] * PANEL))
    fours = [
        builder.bitcast(
            builder.trunc(part, ir.VectorType(INT8, PANEL)), ir.VectorType(INT32, TOGETHER)
        )
        for part in (high, moved)
    ]
    return builder.shuffle_vector(*fours, _lanes(0, 4, 1, 5, 2, 6, 3, 7))


@intrinsic
def largest_activity(_: Any, units: Any, source: Any, distance: Any) -> Any:
    """The largest absolute value of a row that lies in columns of 16."""
    signature = types.float32(types.intp, types.uintp, types.intp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        units, source, distance = arguments
        source = v.pointer(builder, source)
        before, loop = builder.block, builder.append_basic_block("units")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        unit, largest = builder.phi(INT64), builder.phi(v.VECTOR)
        unit.add_incoming(v.integer(0), before)
        largest.add_incoming(v.constant(0.0), before)
        result = Vector(builder, largest)
        for lane in range(0, PANEL, LANES):
            offset = builder.add(builder.mul(unit, distance), v.integer(lane))
            value = Vector(builder, v.load(builder, v.at(builder, source, offset)))
            result = result.at_least(value.at_least(-value))
        following = builder.add(unit, v.integer(1))
        unit.add_incoming(following, builder.block)
        largest.add_incoming(result.value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, units), loop, after)
        builder.position_at_end(after)
        name = f"llvm.vector.reduce.fmax.v{LANES}f32"
        return v.call(builder, name, FLOAT, result.value)

    return signature, generate
