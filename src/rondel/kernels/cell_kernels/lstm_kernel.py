"""The long short-term memory: `rondel.cells.lstm` as vectors, with its gradient."""

from __future__ import annotations

from rondel.kernels.cell_kernels import CellKernel, Slots, cell_kernels
from rondel.kernels.simd.llvm_vectors import sigmoid, tanh
from rondel.kernels.simd.pointwise import Operands


def forward(at: Operands, *, keep: bool) -> None:
    """c' = f c + i g, h' = o tanh c'; `keep` stores the activated gates, and tanh c'."""
    i, f = sigmoid(at.gates.load(0)), sigmoid(at.gates.load(1))
    g, o = tanh(at.gates.load(2)), sigmoid(at.gates.load(3))
    memory = f.fma(at.c.load(), i * g)
    squashed = tanh(memory)
    at.c_next.store(memory)
    at.h_next.store(o * squashed)
    if keep:
        at.gates.store_all(i, f, g, o)
        at.kept.store(squashed)


def backward(at: Operands) -> None:
    """Gradients of the gates, and of c."""
    i, f, g, o = at.gates.load_all(4)
    squashed, d_h = at.kept.load(), at.d_h_next.load()
    d_c = (d_h * o).fma(1.0 - squashed * squashed, at.d_c.load())
    at.gates.store_all(
        d_c * g * (i * (1.0 - i)),
        d_c * at.c.load() * (f * (1.0 - f)),
        d_c * i * (1.0 - g * g),
        d_h * squashed * (o * (1.0 - o)),
    )
    at.d_c.store(d_c * f)


cell_kernels.register("lstm")(
    (
        CellKernel(
            name="lstm",
            slots=Slots(count=4, input=(0, 1, 2, 3), hidden=(0, 1, 2, 3)),
            has_c=True,
            keeps=True,
            forward=forward,
            backward=backward,
        ),
    )
)
