"""The long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rondel.cells import cells
from rondel.cells.base import Array, Cell, Pointwise, State, split_gates
from rondel.settings.fields import setting


@cells.register("lstm")
@dataclass(frozen=True)
class LSTM(Cell):
    """Input i, forget f, candidate g, output o; c' = f c + i g, h' = o tanh c', as `torch.nn.LSTM`.

    The forget gate's bias starts at `forget_bias`: at 1 the cell remembers from the beginning
    (Jozefowicz et al. 2015). Left out, training chooses it by the text's level.
    """

    forget_bias: float = setting(
        1.0,
        "the forget gate's bias at the start (default: 1 for words and subwords, else 0)",
        chosen=True,
    )

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    @classmethod
    def chosen_settings(cls, *, open_vocabulary: bool) -> Mapping[str, Any]:
        """See `Cell.chosen_settings`."""
        # With an open forget gate a model remembers longer, but learns characters more slowly:
        # compare rondel train --corpus tinyshakespeare --steps 1500 with --forget-bias 1 and 0.
        return {"forget_bias": 1.0 if open_vocabulary else 0.0}

    def initial_bias(self) -> dict[str, float]:
        """See `Cell.initial_bias`."""
        return {"forget": self.forget_bias}

    def pointwise(
        self, xp: Any, input_gates: Array, hidden_gates: Array, state: State
    ) -> Pointwise:
        """See `Cell.pointwise`."""
        i, f, g, o = split_gates(input_gates + hidden_gates, 4)
        i, f, g, o = xp.sigmoid(i), xp.sigmoid(f), xp.tanh(g), xp.sigmoid(o)
        memory = f * state[1] + i * g
        return Pointwise((o * xp.tanh(memory), memory), (i, f, g, o))
