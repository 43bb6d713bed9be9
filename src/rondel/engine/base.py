"""What an engine does, whatever it runs on.

Shapes: T time, B batch, V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

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

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The last layer's outputs (T, B, H) after each token, and the last state of all layers."""


class TokenBy(IntEnum):
    """How a stream that an engine writes takes its next token."""

    CALLER = 0
    """The caller says which."""
    DRAW = 1
    """Drawn from the softmax of the logits divided by the temperature."""
    LIKELIEST = 2
    DRAW_IF_WORD_BEGINS = 3
    """Drawn after a token of those that a word begins after; else the likeliest."""


class WritingStreams(Protocol):
    """Streams that an engine keeps the state of: each goes on from its own last token.

    They stand in places from 0 on. Not for several threads at once.
    """

    def join(self, state: EngineState, token: int, by: TokenBy, temperature: float) -> None:
        """Let one in at the last place: its state (L, 1, H) before its last token, and that."""

    def leave(self, place: int) -> None:
        """Let one out; the last one takes its place."""

    def step(
        self,
        steps: int,
        uniforms: npt.NDArray[np.float64],
        begins_word: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tokens (steps, streams) that come next, and how many uniform numbers each stream used.

        `uniforms` is (streams, steps). Raises `ModelFolderError` if the output is not a number.
        """

    def take(self, place: int, token: int) -> None:
        """Say which token a stream takes that takes its own."""

    def logits(self, place: int) -> Floats:
        """A stream's logits (V,) after its last step."""

    def state(self, place: int) -> EngineState:
        """A copy of a stream's state (L, 1, H) before its last token, as `join` takes it."""


@runtime_checkable
class WritingEngine(Engine, Protocol):
    """An engine that writes by itself, many streams at a step."""

    def streams(self, capacity: int, forbidden: int | None) -> WritingStreams:
        """Room for so many streams, which never write the forbidden token."""
