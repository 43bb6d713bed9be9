"""A cell: the minimal gated unit (Zhou et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rondel.cells import Array, Cell, State, cells
from rondel.cells.base import Pointwise, split_gates
from rondel.settings import setting


@cells.register("example-mgu")
@dataclass(frozen=True)
class MinimalGatedUnit(Cell):
    """Forget gate f and candidate n; h' = (1 - f) h + f tanh(x_n + f h_n)."""

    example_forget_bias: float = setting(-1.0, "the forget gate's bias at the start")

    gates: ClassVar[tuple[str, ...]] = ("forget", "candidate")
    states: ClassVar[tuple[str, ...]] = ("h",)

    def initial_bias(self) -> dict[str, float]:
        """See `Cell.initial_bias`."""
        return {"forget": self.example_forget_bias}

    def pointwise(
        self, xp: Any, input_gates: Array, hidden_gates: Array, state: State
    ) -> Pointwise:
        """See `Cell.pointwise`."""
        input_f, input_n = split_gates(input_gates, 2)
        hidden_f, hidden_n = split_gates(hidden_gates, 2)
        forget = xp.sigmoid(input_f + hidden_f)
        candidate = xp.tanh(input_n + forget * hidden_n)
        hidden = state[0] + forget * (candidate - state[0])
        return Pointwise((hidden,), (forget, candidate))
