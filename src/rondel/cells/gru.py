"""The gated recurrent unit (Cho et al. 2014), with the reset after the matmul as in cuDNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rondel.cells import cells
from rondel.cells.base import Array, Cell, Pointwise, State, split_gates


@cells.register("gru")
@dataclass(frozen=True)
class GRU(Cell):
    """Reset r, update z and candidate n; h' = (1 - z) n + z h, as in `torch.nn.GRU`.

    ::

        cell = GRU()
        state, gates = cell.step(numpy_namespace, layer, x_BE, (h_BH,))
    """

    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")
    states: ClassVar[tuple[str, ...]] = ("h",)

    def pointwise(
        self, xp: Any, input_gates: Array, hidden_gates: Array, state: State
    ) -> Pointwise:
        """See `Cell.pointwise`."""
        input_r, input_z, input_n = split_gates(input_gates, 3)
        hidden_r, hidden_z, hidden_n = split_gates(hidden_gates, 3)
        reset = xp.sigmoid(input_r + hidden_r)
        update = xp.sigmoid(input_z + hidden_z)
        candidate = xp.tanh(input_n + reset * hidden_n)
        hidden = candidate + update * (state[0] - candidate)
        return Pointwise((hidden,), (reset, update, candidate))
