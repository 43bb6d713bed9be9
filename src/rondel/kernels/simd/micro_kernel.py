"""The inner loop of a matrix product: a tile of the result in registers, and the loops over tiles.

Call it by `rondel.kernels.simd.matmul.multiply`, whose arguments have names.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from rondel.kernels.compiling import call_of_exported, compiled, exported, intrinsic
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import INT64, LANES, Value
from rondel.kernels.simd.unit_groups import BYTES, PANEL

VECTORS = PANEL // LANES  # registers for a panel's row
UNROLLED = 2

# The most rows of a tile, by its panels, that fit AVX-512's 32 registers or AVX2's 16.
ROWS = {1: 8, 2: 8, 3: 8, 4: 6} if LANES == 16 else {1: 6, 2: 2, 3: 1, 4: 1}


class _Tile:
    """Emits `rows` x `panels` of a product, held in registers from the first k to the last."""

    def __init__(self, builder: Any, rows: int, panels: int, arguments: Any) -> None:
        a, self.a_row, self.a_k, self.a_block, self.k_block, b, self.b_panel = arguments[:7]
        self.blocks, c, c_row, c_panel, self.accumulate = arguments[7:]
        self.builder, self.rows, self.panels = builder, rows, panels
        self.a, self.b = v.pointer(builder, a), v.pointer(builder, b)
        self.c = [
            v.at(builder, v.pointer(builder, c), self._sum((c_row, row), (c_panel, panel), lane))
            for row in range(rows)
            for panel in range(panels)
            for lane in range(0, PANEL, LANES)
        ]

    def _sum(self, *parts: Any) -> Value:
        total = v.integer(0)
        for part in parts:
            if isinstance(part, tuple):
                part = self.builder.mul(part[0], v.integer(part[1]))
            elif isinstance(part, int):
                part = v.integer(part)
            total = self.builder.add(total, part)
        return total

    def emit(self) -> None:
        """Emit the whole tile at the builder's position."""
        builder = self.builder
        before, loading = builder.block, builder.append_basic_block("load")
        outer = builder.append_basic_block("outer")
        builder.cbranch(builder.icmp_signed("!=", self.accumulate, v.integer(0)), loading, outer)
        builder.position_at_end(loading)
        loaded = [v.load(builder, where) for where in self.c]
        builder.branch(outer)
        builder.position_at_end(outer)
        totals = [builder.phi(v.VECTOR) for _ in self.c]
        for total, old in zip(totals, loaded, strict=True):
            total.add_incoming(old, loading)
            total.add_incoming(v.constant(0.0), before)
        block = builder.phi(INT64)
        places = [builder.phi(v.POINTER) for _ in range(2)]
        for phi, first in zip([block, *places], [v.integer(0), self.a, self.b], strict=True):
            phi.add_incoming(first, loading)
            phi.add_incoming(first, before)
        totals_after, b_after = self._inner(totals, *places)
        ends = builder.block
        following = builder.add(block, v.integer(1))
        a_after = v.at(builder, places[0], self.a_block)
        for phi, value in zip(
            [block, *places, *totals],
            [following, a_after, b_after, *totals_after],
            strict=True,
        ):
            phi.add_incoming(value, ends)
        done = builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", following, self.blocks), outer, done)
        builder.position_at_end(done)
        for value, where in zip(totals_after, self.c, strict=True):
            v.store(builder, value, where)

    def _inner(self, totals: list[Value], a: Value, b: Value) -> tuple[list[Value], Value]:
        """Emit all k of one block: `UNROLLED` at a time, then the rest."""
        builder = self.builder
        many = builder.and_(self.k_block, v.integer(-UNROLLED))
        totals, a, b = self._loop("main", many, UNROLLED, totals, a, b)
        totals, a, b = self._loop("rest", builder.sub(self.k_block, many), 1, totals, a, b)
        return totals, b

    def _loop(
        self, name: str, count: Value, stride: int, totals: list[Value], a: Value, b: Value
    ) -> tuple[list[Value], Value, Value]:
        builder = self.builder
        before = builder.block
        body, after = (builder.append_basic_block(f"{name}.{part}") for part in ("body", "after"))
        builder.cbranch(builder.icmp_signed(">", count, v.integer(0)), body, after)
        builder.position_at_end(body)
        firsts = [v.integer(0), a, b, *totals]
        phis = [builder.phi(first.type) for first in firsts]
        for phi, first in zip(phis, firsts, strict=True):
            phi.add_incoming(first, before)
        k, a_now, b_now, *now = phis
        for _ in range(stride):
            now = self._step(now, a_now, b_now)
            a_now = v.at(builder, a_now, self.a_k)
            b_now = v.at(builder, b_now, v.integer(PANEL))
        k_after = builder.add(k, v.integer(stride))
        lasts = [k_after, a_now, b_now, *now]
        for phi, last in zip(phis, lasts, strict=True):
            phi.add_incoming(last, builder.block)
        loops_back = builder.block
        builder.cbranch(builder.icmp_signed("<", k_after, count), body, after)
        builder.position_at_end(after)
        results = [builder.phi(first.type) for first in firsts]
        for result, first, last in zip(results, firsts, lasts, strict=True):
            result.add_incoming(first, before)
            result.add_incoming(last, loops_back)
        return results[3:], results[1], results[2]

    def _step(self, totals: list[Value], a: Value, b: Value) -> list[Value]:
        """Emit one k: an outer product of `rows` numbers and `panels` rows of 16."""
        builder = self.builder
        right = [
            v.load(builder, v.at(builder, b, self._sum((self.b_panel, panel), lane)))
            for panel in range(self.panels)
            for lane in range(0, PANEL, LANES)
        ]
        result = []
        for row in range(self.rows):
            scalar = v.load(builder, v.at(builder, a, self._sum((self.a_row, row))), v.FLOAT)
            left = v.splat(builder, scalar)
            for column, vector in enumerate(right):
                total = totals[row * len(right) + column]
                result.append(v.fused_multiply_add(builder, left, vector, total))
        return result


def _micro_kernel(panels: int) -> Any:
    """An intrinsic for products of up to `ROWS[panels]` rows and `panels` panels.

    Its arguments: the number of rows; A's address, and the distances (in floats) of its rows, of
    its k within a block, and of its blocks of k; k in a block; B's address, the distance of its
    panels; blocks; C's address, the distances of its rows and of its panels; whether to add to C.
    """

    def multiply(
        _: Any,
        rows: Any,
        a: Any,
        a_row: Any,
        a_k: Any,
        a_block: Any,
        k_block: Any,
        b: Any,
        b_panel: Any,
        blocks: Any,
        c: Any,
        c_row: Any,
        c_panel: Any,
        accumulate: Any,
    ) -> Any:
        n, p = types.intp, types.uintp
        signature = types.void(n, p, n, n, n, n, p, n, n, p, n, n, n)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
            count, *others = arguments
            finished = builder.append_basic_block("finished")
            choice = builder.switch(count, finished)
            for rows in range(1, ROWS[panels] + 1):
                case = builder.append_basic_block(f"rows{rows}")
                choice.add_case(ir.Constant(INT64, rows), case)
                builder.position_at_end(case)
                _Tile(builder, rows, panels, others).emit()
                builder.branch(finished)
            builder.position_at_end(finished)
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(multiply)


_one, _two, _three, _four = (_micro_kernel(panels) for panels in (1, 2, 3, 4))
_ROWS_1, _ROWS_2, _ROWS_3, _ROWS_4 = (ROWS[panels] for panels in (1, 2, 3, 4))
_WIDE = LANES == 16


@compiled
def _panels_at_a_time(rows: int) -> int:
    """Return how many panels a tile has: few rows leave registers for more panels."""
    if _WIDE or rows == 1:
        return 4
    return 2 if rows == 2 else 1


@compiled
def _rows_at_a_time(panels: int) -> int:
    if panels == 4:
        return _ROWS_4
    if panels == 3:
        return _ROWS_3
    return _ROWS_2 if panels == 2 else _ROWS_1


@exported("rondel_multiply", 14)
def _multiply_tiles(
    rows: int,
    panels: int,
    a: int,
    a_row: int,
    a_k: int,
    a_block: int,
    k_block: int,
    blocks: int,
    b: int,
    b_panel: int,
    c: int,
    c_row: int,
    c_panel: int,
    accumulate: int,
) -> None:
    most_panels = _panels_at_a_time(rows)
    # These panels stay in the L1 cache while all rows are multiplied by them.
    first = 0
    while first < panels:
        width = min(most_panels, panels - first)
        most = _rows_at_a_time(width)
        tiles = (rows + most - 1) // most
        row = 0
        panel = b + BYTES * first * b_panel
        for number in range(tiles):
            height = (rows - row + tiles - number - 1) // (tiles - number)
            left = a + BYTES * row * a_row
            out = c + BYTES * (row * c_row + first * c_panel)
            if width == 4:
                _four(
                    height, left, a_row, a_k, a_block, k_block,
                    panel, b_panel, blocks, out, c_row, c_panel, accumulate,
                )  # fmt: skip
            elif width == 3:
                _three(
                    height, left, a_row, a_k, a_block, k_block,
                    panel, b_panel, blocks, out, c_row, c_panel, accumulate,
                )  # fmt: skip
            elif width == 2:
                _two(
                    height, left, a_row, a_k, a_block, k_block,
                    panel, b_panel, blocks, out, c_row, c_panel, accumulate,
                )  # fmt: skip
            else:
                _one(
                    height, left, a_row, a_k, a_block, k_block,
                    panel, b_panel, blocks, out, c_row, c_panel, accumulate,
                )  # fmt: skip
            row += height
        first += width


@intrinsic
def multiply_tiles(
    _: Any,
    rows: Any,
    panels: Any,
    a: Any,
    a_row: Any,
    a_k: Any,
    a_block: Any,
    k_block: Any,
    blocks: Any,
    b: Any,
    b_panel: Any,
    c: Any,
    c_row: Any,
    c_panel: Any,
    accumulate: Any,
) -> Any:
    """C[rows, panels x 16] (+)= A B, of any size; see `matmul.multiply`.

    A[r, k] lies at `a + 4 (r a_row + (k // k_block) a_block + (k % k_block) a_k)`, for k below
    `k_block * blocks`. `b_panel` is the distance from one panel to the next. C[r, 16 p + j] lies at
    `c + 4 (r c_row + p c_panel + j)`.
    """
    return call_of_exported("rondel_multiply", 14)
