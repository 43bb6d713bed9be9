"""The simple recurrent network: `rondel.cells.rnn` as vectors, with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rondel.kernels.cell_kernels import CellKernel, Slots, cell_kernels
from rondel.kernels.simd import llvm_vectors as v
from rondel.kernels.simd.llvm_vectors import Vector, relu, tanh
from rondel.kernels.simd.pointwise import Operands

ONE_GATE = Slots(count=1, input=(0,), hidden=(0,))


def forward(at: Operands, *, activation: Callable[[Vector], Vector], keep: bool) -> None:
    """h' = f(z); `keep` stores h' in place of z."""
    hidden = activation(at.gates.load())
    at.h_next.store(hidden)
    if keep:
        at.gates.store(hidden)


def tanh_backward(at: Operands) -> None:
    """Gradient of the gate."""
    hidden = at.gates.load()
    at.gates.store(at.d_h_next.load() * (1.0 - hidden * hidden))


def relu_backward(at: Operands) -> None:
    """Gradient of the gate."""
    hidden = at.gates.load()
    builder, zero = hidden.builder, v.constant(0.0)
    on = builder.fcmp_ordered(">", hidden.value, zero)
    at.gates.store(Vector(builder, builder.select(on, at.d_h_next.load().value, zero)))


cell_kernels.register("rnn")(
    (
        CellKernel(
            name="rnn_tanh",
            settings={"nonlinearity": "tanh"},
            slots=ONE_GATE,
            forward=partial(forward, activation=tanh),
            backward=tanh_backward,
        ),
        CellKernel(
            name="rnn_relu",
            settings={"nonlinearity": "relu"},
            slots=ONE_GATE,
            bounded=False,
            forward=partial(forward, activation=relu),
            backward=relu_backward,
        ),
    )
)
