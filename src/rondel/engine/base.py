"""What an engine does, whatever it runs on.

Shapes: T time, B batch, V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rondel.kernels.inference.token_by import TokenBy as TokenBy

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]
EngineState = tuple[Floats, ...]
"""One array (L, B, H) for each of the cell's state names, in their order."""


class Stack(Protocol):
    """Layers that read tokens: state goes in and comes out, and the stack keeps none.

    What a call returns is the caller's own: later calls do not write into it. Tokens that are not
    in the vocabulary, or are no whole numbers, and a state of another shape raise `InputError`.
    """

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """Zeros, as every training text starts from."""

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """The state after a sequence, its outputs left out (a long prime needs none of them)."""

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The last layer's outputs (T, B, H) after each token, and the last state of all layers."""

    def layer_outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Every layer's outputs (L, T, B, H) after each token, and the last state."""


class Engine(Stack, Protocol):
    """A language model that runs: a stack, and a head that makes logits of its outputs."""

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's numbers are the same, bit for bit, alone and in any batch."""

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (B, V) after one token a stream, and the next state."""

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (T, B, V) after each token of a sequence, and the last state."""

    def streams(self, capacity: int, forbidden: int | None) -> Streams | None:
        """Room for so many streams that write by themselves, and never the forbidden token.

        `None` if the engine only steps, and whoever asks has to choose the tokens.
        """


class Streams(Protocol):
    """Streams whose state an engine keeps: each continues from its own last token.

    They have indices from 0 on. Not for several threads at once.
    """

    def add(self, state: EngineState, token: int, by: TokenBy, temperature: float) -> None:
        """Add a stream at the end: its last token, and its state (L, 1, H) before that token."""

    def remove(self, index: int) -> None:
        """Remove a stream; the last one gets its index."""

    def step(
        self,
        steps: int,
        uniforms: npt.NDArray[np.float64],
        begins_word: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tokens (steps, streams) that come next, and how many uniform numbers each stream used.

        `uniforms` is (streams, steps). Raises `ModelFolderError` if the output is not a number.
        """

    def set_token(self, index: int, token: int) -> None:
        """Set the next token of a stream whose tokens the caller chooses."""

    def logits(self, index: int) -> Floats:
        """A stream's logits (V,) after its last step."""

    def state(self, index: int) -> EngineState:
        """A copy of a stream's state (L, 1, H) before its last token, as for `add`."""
