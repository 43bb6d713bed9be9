"""What an engine does, whatever it runs on.

Shapes: T time, B batch, V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]
EngineState = tuple[Floats, ...]
"""One array (L, B, H) for each of the cell's state names, in their order."""


class Engine(Protocol):
    """A language model that runs: state goes in and comes out, and the engine keeps none.

    What a call returns is the caller's own: later calls do not write into it.
    """

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """Zeros, as every training text starts from."""

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (B, V) after one token a stream, and the next state."""

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (T, B, V) after each token of a sequence, and the last state."""

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """The state after a sequence, its logits left out (a long prime needs none of them)."""
