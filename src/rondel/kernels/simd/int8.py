"""Products of 8-bit weights and 16-bit activations; see `int8_forms` for how they lie in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from rondel.kernels.compiling import compiled, intrinsic
from rondel.kernels.simd import vectors as v
from rondel.kernels.simd.columns import BYTES, PANEL, Columns, address_of
from rondel.kernels.simd.int8_forms import (
    COLUMN,
    FORM,
    LARGEST_ACTIVATION,
    TOGETHER,
    join_vectors,
    lanes_of,
)
from rondel.kernels.simd.rows import number_at, set_number
from rondel.kernels.simd.vectors import FLOAT, INT8, INT16, INT32, INT64, LANES, Value, Vector

MOST_PANELS = 4
AHEAD = 1024  # bytes of each panel that are asked for before they are read


class Matrix(NamedTuple):
    """A packed matrix as kernels read it; its panels are in single precision if `start` is 0."""

    panels: int
    """Address, as are the others."""
    start: int
    """What the integer sums start from: (panels, 16)."""
    scale: int
    """What 1 of a weight stands for: (panels, 16)."""


class Activations(NamedTuple):
    """Rows of activations in 16 bits."""

    address: int
    row: int
    """Distance of rows in bytes."""
    scale: int
    """Address of what 1 stands for in each row."""


@compiled
def quantise_rows(
    rows: int, units: int, x: Columns, largest: int, bounded: int, out: Activations
) -> None:
    """Write rows in 16 bits, at most ±`largest`; if `bounded`, x is known to be within ±1."""
    limit = np.float32(largest)
    for row in range(rows):
        source = address_of(x, 0, row)
        peak = np.float32(1.0)
        if bounded == 0:
            peak = _largest_magnitude(units, source, x.unit)
        factor = np.float32(0.0)
        if peak > 0:
            factor = limit / peak
        _quantise_row(units, source, x.unit, factor, out.address + row * out.row)
        set_number(out.scale + BYTES * row, peak / limit)


@compiled
def add_int8_product(
    rows: int, units: int, x: Activations, w: Matrix, first: int, count: int, z: Columns
) -> None:
    """z += w x for `count` panels of w from the `first` on; z's units are those panels."""
    panel_bytes = units * PANEL * PANEL
    for done in range(0, count, MOST_PANELS):
        panel = first + done
        for row in range(rows):
            _add_tile(
                min(MOST_PANELS, count - done),
                units * (PANEL // TOGETHER),
                x.address + row * x.row,
                w.panels + panel * panel_bytes,
                panel_bytes,
                w.start + BYTES * panel * PANEL,
                w.scale + BYTES * panel * PANEL,
                number_at(x.scale + BYTES * row),
                address_of(z, done, row),
                z.unit,
            )


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
            part = builder.shuffle_vector(total, total, lanes_of(*range(lane, lane + LANES)))
            kind = ir.VectorType(INT32, LANES)
            part = builder.add(part, v.load(builder, v.at(builder, start, offset, INT32), kind))
            factor = Vector(builder, v.load(builder, v.at(builder, scale, offset)))
            number = Vector(builder, builder.sitofp(part, v.VECTOR))
            old = Vector(builder, v.load(builder, place))
            v.store(builder, number.fma(factor * Vector(builder, unit), old).value, place)


@intrinsic
def _add_tile(
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
def _quantise_row(_: Any, units: Any, source: Any, distance: Any, factor: Any, target: Any) -> Any:
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
        v.store(builder, _stored(builder, join_vectors(builder, parts)), row, align=1)
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
    moved = builder.add(integers, ir.Constant(COLUMN, [FORM.offset] * PANEL))
    high = builder.lshr(moved, ir.Constant(COLUMN, [8] * PANEL))
    fours = [
        builder.bitcast(
            builder.trunc(part, ir.VectorType(INT8, PANEL)), ir.VectorType(INT32, TOGETHER)
        )
        for part in (high, moved)
    ]
    return builder.shuffle_vector(*fours, lanes_of(0, 4, 1, 5, 2, 6, 3, 7))


@intrinsic
def _largest_magnitude(_: Any, units: Any, source: Any, distance: Any) -> Any:
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
