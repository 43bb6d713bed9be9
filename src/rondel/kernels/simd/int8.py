"""Products of 8-bit weights and 16-bit activations; `int8_forms` describes their memory layout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from rondel.kernels.compiling import compiled, intrinsic
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.int8_forms import (
    COLUMN,
    FORM,
    K_PER_STEP,
    LARGEST_ACTIVATION,
    join_vectors,
    lanes_of,
)
from rondel.kernels.simd.llvm_vectors import FLOAT, INT8, INT16, INT32, INT64, LANES, Value, Vector
from rondel.kernels.simd.rows import number_at, set_number
from rondel.kernels.simd.unit_groups import BYTES, PANEL, Groups, address_of

MOST_PANELS = 4
PREFETCH_DISTANCE = 1024  # bytes ahead of the reads of each panel


class Matrix(NamedTuple):
    """Addresses of a packed matrix; its panels are in single precision if `start` is 0."""

    panels: int
    start: int
    """Initial values of the integer sums: (panels, 16)."""
    scale: int
    """The value of an integer weight of 1: (panels, 16)."""


class Activations(NamedTuple):
    """Rows of activations quantised to 16 bits."""

    address: int
    row: int
    """Distance of rows in bytes."""
    scale: int
    """Address of the value of an integer 1 in each row."""


@compiled
def quantise_rows(
    rows: int, groups: int, x: Groups, largest: int, bounded: int, out: Activations
) -> None:
    """Quantise rows to 16 bits, at most ±`largest`; if `bounded`, x is known to be within ±1."""
    limit = np.float32(largest)
    for row in range(rows):
        source = address_of(x, 0, row)
        peak = np.float32(1.0)
        if bounded == 0:
            peak = _largest_magnitude(groups, source, x.group)
        factor = np.float32(0.0)
        if peak > 0:
            factor = limit / peak
        _quantise_row(groups, source, x.group, factor, out.address + row * out.row)
        set_number(out.scale + BYTES * row, peak / limit)


@compiled
def add_int8_product(
    rows: int, groups: int, x: Activations, w: Matrix, first: int, count: int, z: Groups
) -> None:
    """z += w x for `count` panels of w from the `first` on; z's groups are those panels."""
    panel_bytes = groups * PANEL * PANEL
    for done in range(0, count, MOST_PANELS):
        panel = first + done
        for row in range(rows):
            _add_tile(
                min(MOST_PANELS, count - done),
                groups * (PANEL // K_PER_STEP),
                x.address + row * x.row,
                w.panels + panel * panel_bytes,
                panel_bytes,
                w.start + BYTES * panel * PANEL,
                w.scale + BYTES * panel * PANEL,
                number_at(x.scale + BYTES * row),
                address_of(z, done, row),
                z.group,
            )


def _product(builder: Any, panels: int, arguments: list[Value]) -> None:
    """Emit z += scale * x_scale * (start + w x) for some panels."""
    steps, x, w, w_panel, start, scale, x_scale, z, z_panel = arguments
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
    at_x = v.at(builder, x, builder.mul(step, v.integer(2 * K_PER_STEP)), INT8)
    activations = FORM.activations(builder, at_x)
    row = builder.mul(step, v.integer(K_PER_STEP * PANEL))
    results = []
    for panel, sums in enumerate(running):
        offset = builder.add(row, builder.mul(w_panel, v.integer(panel)))
        place = v.at(builder, w, offset, INT8)
        v.prefetch(builder, v.at(builder, place, v.integer(PREFETCH_DISTANCE), INT8))
        results.append(FORM.step(builder, activations, place, list(sums)))
    following = builder.add(step, v.integer(1))
    step.add_incoming(following, builder.block)
    for sums, new in zip(running, results, strict=True):
        for phi, value in zip(sums, new, strict=True):
            phi.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)
    x_scale = v.splat(builder, x_scale)
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
            v.store(builder, number.fma(factor * Vector(builder, x_scale), old).value, place)


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
    x_scale: Any,
    z: Any,
    z_panel: Any,
) -> Any:
    """z[p, j] += scale[p, j] * x_scale * (start[p, j] + (w[p] x)[j]), up to four panels p.

    x is one row and `steps` its k / 4. `w_panel` is the distance of panels in bytes, `z_panel` in
    floats; the panels of `start` and `scale` are contiguous.
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
def _quantise_row(_: Any, groups: Any, source: Any, distance: Any, factor: Any, target: Any) -> Any:
    """Write a row as x * factor, rounded; its groups of 16 are `distance` floats apart."""
    signature = types.void(types.intp, types.uintp, types.intp, types.float32, types.uintp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        groups, source, distance, factor, target = arguments
        source, target = v.pointer(builder, source), v.pointer(builder, target)
        factor = Vector(builder, v.splat(builder, factor))
        before, loop = builder.block, builder.append_basic_block("units")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        group = builder.phi(INT64)
        group.add_incoming(v.integer(0), before)
        parts = []
        for lane in range(0, PANEL, LANES):
            offset = builder.add(builder.mul(group, distance), v.integer(lane))
            scaled = Vector(builder, v.load(builder, v.at(builder, source, offset))) * factor
            scaled = scaled.within(float(LARGEST_ACTIVATION))
            name = f"llvm.nearbyint.v{LANES}f32"
            whole = v.call(builder, name, v.VECTOR, scaled.value)
            parts.append(builder.fptosi(whole, ir.VectorType(INT32, LANES)))
        row = v.at(builder, target, builder.mul(group, v.integer(2 * PANEL)), INT8)
        v.store(builder, _pack_activations(builder, join_vectors(builder, parts)), row, align=1)
        following = builder.add(group, v.integer(1))
        group.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, groups), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return signature, generate


def _pack_activations(builder: Any, integers: Value) -> Value:
    """Emit sixteen activations in the layout that `FORM` reads."""
    if FORM.offset == 0:
        return builder.trunc(integers, ir.VectorType(INT16, PANEL))
    moved = builder.add(integers, ir.Constant(COLUMN, [FORM.offset] * PANEL))
    high = builder.lshr(moved, ir.Constant(COLUMN, [8] * PANEL))
    fours = [
        builder.bitcast(
            builder.trunc(part, ir.VectorType(INT8, PANEL)), ir.VectorType(INT32, K_PER_STEP)
        )
        for part in (high, moved)
    ]
    return builder.shuffle_vector(*fours, lanes_of(0, 4, 1, 5, 2, 6, 3, 7))


@intrinsic
def _largest_magnitude(_: Any, groups: Any, source: Any, distance: Any) -> Any:
    """The largest absolute value of a row, whose groups of 16 are `distance` floats apart."""
    signature = types.float32(types.intp, types.uintp, types.intp)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        groups, source, distance = arguments
        source = v.pointer(builder, source)
        before, loop = builder.block, builder.append_basic_block("units")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        group, largest = builder.phi(INT64), builder.phi(v.VECTOR)
        group.add_incoming(v.integer(0), before)
        largest.add_incoming(v.constant(0.0), before)
        result = Vector(builder, largest)
        for lane in range(0, PANEL, LANES):
            offset = builder.add(builder.mul(group, distance), v.integer(lane))
            value = Vector(builder, v.load(builder, v.at(builder, source, offset)))
            result = result.at_least(value.at_least(-value))
        following = builder.add(group, v.integer(1))
        group.add_incoming(following, builder.block)
        largest.add_incoming(result.value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, groups), loop, after)
        builder.position_at_end(after)
        name = f"llvm.vector.reduce.fmax.v{LANES}f32"
        return v.call(builder, name, FLOAT, result.value)

    return signature, generate
