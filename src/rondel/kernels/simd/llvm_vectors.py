"""Vector arithmetic as LLVM code, for kernels where Numba's loops are too slow.

A kernel is an `@intrinsic` whose body is written with `Vector`s, whose operators emit the
corresponding instructions. Vectors are as wide as the processor's registers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rondel.kernels.compiling import features

FLOAT, POINTER = ir.FloatType(), ir.PointerType()
INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
LANES = 16 if "avx512f" in features() else 8
VECTOR = ir.VectorType(FLOAT, LANES)
Builder = Any
Value = Any


def integer(value: int) -> Value:
    """A 64-bit constant."""
    return ir.Constant(INT64, value)


def constant(value: float) -> Value:
    """A constant vector with `value` in every lane."""
    return ir.Constant(VECTOR, [value] * LANES)


def at(builder: Builder, pointer: Value, offset: Value, element: Any = FLOAT) -> Value:
    """Emit a pointer `offset` elements after another."""
    return builder.gep(pointer, [offset], source_etype=element)


def pointer(builder: Builder, address: Value) -> Value:
    """Emit the conversion of an address (uintp) to a pointer."""
    return builder.inttoptr(address, POINTER)


def load(builder: Builder, where: Value, type_: Any = VECTOR, align: int = 4) -> Value:
    """Emit a load from a pointer."""
    return builder.load(where, align=align, typ=type_)


def store(builder: Builder, value: Value, where: Value, align: int = 4) -> None:
    """Emit a store to a pointer."""
    builder.store(value, where, align=align)


def splat(builder: Builder, scalar: Value, vector: Any = VECTOR) -> Value:
    """Emit a vector with a scalar in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(INT32, 0))
    lanes = ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, lanes)


def call(builder: Builder, name: str, result: Any, *arguments: Value) -> Value:
    """Emit a call of an LLVM intrinsic, or of a C function."""
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(result, [value.type for value in arguments]), name
    )
    return builder.call(function, arguments)


def fused_multiply_add(builder: Builder, x: Value, y: Value, z: Value) -> Value:
    """Emit x y + z, rounded once."""
    return call(builder, f"llvm.fma.v{x.type.count}f32", x.type, x, y, z)


def prefetch(builder: Builder, where: Value) -> None:
    """Emit a prefetch of a cache line that will be read soon."""
    read, keep, data = (ir.Constant(INT32, value) for value in (0, 3, 1))
    call(builder, "llvm.prefetch.p0", ir.VoidType(), where, read, keep, data)


class Vector:
    """The lanes of a register, in single precision. Every operator rounds as in IEEE 754."""

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder, self.value = builder, value

    def _as_value(self, other: Vector | float) -> Value:
        return other.value if isinstance(other, Vector) else constant(other)

    def _of(self, value: Value) -> Vector:
        return Vector(self.builder, value)

    def __add__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fadd(self.value, self._as_value(other)))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fsub(self.value, self._as_value(other)))

    def __rsub__(self, other: float) -> Vector:
        return self._of(self.builder.fsub(constant(other), self.value))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fmul(self.value, self._as_value(other)))

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fdiv(self.value, self._as_value(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Vector:
        return self._of(self.builder.fneg(self.value))

    def fma(self, factor: Vector | float, addend: Vector | float) -> Vector:
        """self * factor + addend, rounded once."""
        values = self.value, self._as_value(factor), self._as_value(addend)
        return self._of(fused_multiply_add(self.builder, *values))

    def at_most(self, limit: Vector | float) -> Vector:
        """The smaller of the two, in each lane; NaN stays NaN."""
        value = self._as_value(limit)
        above = self.builder.fcmp_ordered(">", self.value, value)
        return self._of(self.builder.select(above, value, self.value))

    def at_least(self, limit: Vector | float) -> Vector:
        """The larger of the two, in each lane; NaN stays NaN."""
        value = self._as_value(limit)
        below = self.builder.fcmp_ordered("<", self.value, value)
        return self._of(self.builder.select(below, value, self.value))

    def within(self, limit: float) -> Vector:
        """Clamp to ±limit."""
        return self.at_most(limit).at_least(-limit)

    def polynomial(self, coefficients: tuple[float, ...]) -> Vector:
        """Evaluate by Horner's rule, the highest power's coefficient first."""
        first, second, *rest = coefficients
        total = self.fma(first, second)
        for coefficient in rest:
            total = total.fma(self, coefficient)
        return total


# A rational function of odd degree 13 over 6, fitted on ±7.9, beyond which tanh is 1 in single
# precision: the coefficients are those of Eigen (Jacob & Guennebaud, MPL 2.0).
TANH_LIMIT = 7.90531110763549805
TANH_NUMERATOR = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
TANH_DENOMINATOR = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)

# exp(r) on ±ln(2)/2 (Cephes, S. L. Moshier), and ln 2 in two parts.
EXP_SERIES = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1)
LN2_HIGH, LN2_LOW, LOG2_E = 0.693359375, -2.12194440e-4, 1.4426950408889634
EXP_LOWEST = -87.0


def reciprocal(x: Vector) -> Vector:
    """1 / x to within 2 units in the last place, for normal numbers.

    A division of wide registers takes as long as a dozen multiplications: where the processor
    estimates reciprocals, one Newton step refines the estimate.
    """
    builder = x.builder
    if LANES == 16:
        zero, all_lanes = constant(0.0), ir.Constant(INT16, -1)
        name = "llvm.x86.avx512.rcp14.ps.512"
        estimate = Vector(builder, call(builder, name, VECTOR, x.value, zero, all_lanes))
    elif "avx2" in features():
        estimate = Vector(builder, call(builder, "llvm.x86.avx.rcp.ps.256", VECTOR, x.value))
    else:
        return Vector(builder, constant(1.0)) / x
    return estimate.fma((-x).fma(estimate, 1.0), estimate)


def tanh(x: Vector) -> Vector:
    """Hyperbolic tangent, to a few units in the last place."""
    x = x.within(TANH_LIMIT)
    squared = x * x
    numerator = squared.polynomial(TANH_NUMERATOR)
    return x * numerator * reciprocal(squared.polynomial(TANH_DENOMINATOR))


def sigmoid(x: Vector) -> Vector:
    """1 / (1 + exp(-x)), computed from tanh."""
    return tanh(x * 0.5).fma(0.5, 0.5)


def relu(x: Vector) -> Vector:
    """max(x, 0)."""
    return x.at_least(0.0)


def exp(x: Vector) -> Vector:
    """e to the x, for x up to 88; below -87 it stays at exp(-87), which is negligible beside 1."""
    builder = x.builder
    x = x.at_least(EXP_LOWEST)
    whole_name = f"llvm.nearbyint.v{LANES}f32"
    whole = Vector(builder, call(builder, whole_name, VECTOR, (x * LOG2_E).value))
    rest = whole.fma(-LN2_LOW, whole.fma(-LN2_HIGH, x))
    series = rest.polynomial((*EXP_SERIES, 5.0000001201e-1))
    result = (series * rest).fma(rest, rest + 1.0)
    integers = ir.VectorType(INT32, LANES)
    exponent = builder.add(
        builder.fptosi(whole.value, integers), ir.Constant(integers, [127] * LANES)
    )
    power = builder.shl(exponent, ir.Constant(integers, [23] * LANES))
    return result * Vector(builder, builder.bitcast(power, VECTOR))
