"""The gated recurrent unit: `rondel.cells.gru` as vectors, with its gradient."""

from __future__ import annotations

from rondel.kernels.cell_kernels import CellKernel, Slots, cell_kernels
from rondel.kernels.simd.llvm_vectors import sigmoid, tanh
from rondel.kernels.simd.pointwise import Operands


def forward(at: Operands, *, keep: bool) -> None:
    """h' = n + z (h - n); `keep` stores the activated gates in the first three slots."""
    reset, update = sigmoid(at.gates.load(1)), sigmoid(at.gates.load(2))
    candidate = tanh(reset.fma(at.gates.load(3), at.gates.load(0)))
    at.h_next.store(update.fma(at.h.load() - candidate, candidate))
    if keep:
        at.gates.store_all(candidate, reset, update)


def backward(at: Operands) -> None:
    """Gradients of the slots, and of h other than through the matmul."""
    candidate, reset, update, hidden_half = at.gates.load_all(4)
    d_h = at.d_h_next.load()
    d_candidate = d_h * (1.0 - update) * (1.0 - candidate * candidate)
    at.gates.store_all(
        d_candidate,
        d_candidate * hidden_half * (reset * (1.0 - reset)),
        d_h * (at.h.load() - candidate) * (update * (1.0 - update)),
        d_candidate * reset,
    )
    at.d_h.store(d_h.fma(update, at.d_h.load()))


cell_kernels.register("gru")(
    (
        CellKernel(
            name="gru",
            # The candidate's input half, reset, update, the candidate's hidden half.
            slots=Slots(count=4, input=(2, 0, 1), hidden=(0, 1, 2), hidden_begin=1),
            forward=forward,
            backward=backward,
        ),
    )
)
