"""Softmax, draw and log-probabilities of a row of logits, as in `rondel.generation`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from rondel.kernels.compiling import compiled, intrinsic
from rondel.kernels.inference.written import NO_DISTRIBUTION, NO_TOKEN
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import EXP_LOWEST, INT64, LANES, Value, Vector, exp
from rondel.kernels.simd.rows import largest_of_row, number_at
from rondel.kernels.simd.unit_groups import BYTES, PANEL

Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def _sum(builder: Any, parts: list[Value]) -> Value:
    """Emit the sum of all lanes of some vectors, added pairwise."""
    total = parts[0]
    for part in parts[1:]:
        total = builder.fadd(total, part)
    width = LANES // 2
    while width:
        lanes = [ir.Constant(v.INT32, (i + width) % LANES) for i in range(LANES)]
        moved = builder.shuffle_vector(
            total, total, ir.Constant(ir.VectorType(v.INT32, LANES), lanes)
        )
        total = builder.fadd(total, moved)
        width //= 2
    return builder.extract_element(total, ir.Constant(v.INT32, 0))


@intrinsic
def _weigh(
    _: Any, columns: Any, logits: Any, top: Any, temperature: Any, weights: Any, sums: Any
) -> Any:
    """Write exp((logit - top) / temperature), 0 where it is below e^-87, and sums of every 16."""
    f, n, p = types.float32, types.intp, types.uintp

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Value:
        columns, logits, top, temperature, weights, sums = arguments
        logits, weights, sums = (v.pointer(builder, place) for place in (logits, weights, sums))
        top, temperature = (Vector(builder, v.splat(builder, x)) for x in (top, temperature))
        before, loop = builder.block, builder.append_basic_block("columns")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        panel = builder.phi(INT64)
        panel.add_incoming(v.integer(0), before)
        first = builder.mul(panel, v.integer(PANEL))
        lowest, zero = v.constant(EXP_LOWEST), v.constant(0.0)
        parts = []
        for lane in range(0, PANEL, LANES):
            place = builder.add(first, v.integer(lane))
            x = (Vector(builder, v.load(builder, v.at(builder, logits, place))) - top) / temperature
            # NaN is kept, so that the sum is NaN too.
            counts = builder.fcmp_unordered(">", x.value, lowest)
            weight = builder.select(counts, exp(x).value, zero)
            v.store(builder, weight, v.at(builder, weights, place))
            parts.append(weight)
        v.store(builder, _sum(builder, parts), v.at(builder, sums, panel))
        following = builder.add(panel, v.integer(1))
        panel.add_incoming(following, builder.block)
        end = builder.mul(following, v.integer(PANEL))
        builder.cbranch(builder.icmp_signed("<", end, columns), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(n, p, f, f, p, p), generate


@compiled
def draw(logits: int, columns: int, temperature: float, uniform: float, scratch: int) -> int:
    """Draw a token from softmax(logits / temperature), by inverting the CDF at `uniform`.

    A token of logit -inf is never drawn. Returns `NO_DISTRIBUTION` if the sum is not finite.
    `scratch` holds `columns` numbers and a sixteenth of that; logits past the vocabulary are -inf.
    """
    top = largest_of_row(columns, logits)
    sums = scratch + BYTES * columns
    _weigh(columns, logits, top, np.float32(temperature), scratch, sums)
    panels = columns // PANEL
    total = 0.0
    for panel in range(panels):
        total += float(number_at(sums + BYTES * panel))
    if not math.isfinite(total):
        return NO_DISTRIBUTION
    wanted = uniform * total
    reached = 0.0
    chosen = NO_DISTRIBUTION
    for panel in range(panels):
        after = reached + float(number_at(sums + BYTES * panel))
        if after > wanted:
            for column in range(panel * PANEL, (panel + 1) * PANEL):
                weight = float(number_at(scratch + BYTES * column))
                reached += weight
                if weight > 0.0:
                    chosen = column
                    if reached > wanted:
                        return chosen
            return chosen
        reached = after
    return chosen


@compiled
def likeliest(logits: int, columns: int) -> int:
    """Return the first token of the largest logit; `NO_DISTRIBUTION` if that is not finite."""
    best, chosen = -math.inf, NO_DISTRIBUTION
    for column in range(columns):
        value = float(number_at(logits + BYTES * column))
        if math.isnan(value):
            return NO_DISTRIBUTION
        if value > best:
            best, chosen = value, column
    return chosen if math.isfinite(best) else NO_DISTRIBUTION


@compiled
def log_normaliser(logits: int, columns: int, scratch: int) -> float:
    """Return ln of the sum of exp(logits): a logit minus this is the token's log-probability.

    `scratch` is as for `draw`.
    """
    top = largest_of_row(columns, logits)
    sums = scratch + BYTES * columns
    _weigh(columns, logits, top, np.float32(1.0), scratch, sums)
    total = 0.0
    for panel in range(columns // PANEL):
        total += float(number_at(sums + BYTES * panel))
    return float(top) + math.log(total)


@compiled
def find_likeliest(
    logits: int, columns: int, normaliser: float, tokens: Integers, logprobs: Doubles
) -> None:
    """Write the `len(tokens)` likeliest tokens, then by id, and their log-probabilities.

    Tokens of logit -inf are left out; `NO_TOKEN` fills the rest.
    """
    count = len(tokens)
    found = 0
    for column in range(columns if count > 0 else 0):
        value = float(number_at(logits + BYTES * column))
        if value == -math.inf or (found == count and value <= logprobs[count - 1]):
            continue
        found = min(found + 1, count)
        place = found - 1
        while place > 0 and logprobs[place - 1] < value:
            tokens[place], logprobs[place] = tokens[place - 1], logprobs[place - 1]
            place -= 1
        tokens[place], logprobs[place] = column, value
    for place in range(count):
        logprobs[place] -= normaliser
        if place >= found:
            tokens[place] = NO_TOKEN
