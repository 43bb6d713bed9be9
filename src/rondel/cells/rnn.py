"""The simple recurrent network (Elman 1990): two matmuls and an activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rondel.cells import cells
from rondel.cells.base import Array, Cell, Pointwise, State
from rondel.settings.fields import setting


@cells.register("rnn")
@dataclass(frozen=True)
class RNN(Cell):
    """h' = f(W_ih x + b_ih + W_hh h + b_hh), f tanh or relu, as in `torch.nn.RNN`."""

    nonlinearity: str = setting("tanh", "its activation", choices=("tanh", "relu"))

    gates: ClassVar[tuple[str, ...]] = ("hidden",)
    states: ClassVar[tuple[str, ...]] = ("h",)

    def pointwise(
        self, xp: Any, input_gates: Array, hidden_gates: Array, state: State
    ) -> Pointwise:
        """See `Cell.pointwise`."""
        activation = xp.relu if self.nonlinearity == "relu" else xp.tanh
        hidden = activation(input_gates + hidden_gates)
        return Pointwise((hidden,), (hidden,))
