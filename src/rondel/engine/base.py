"""Interfaces of stacks, engines and streams, whatever they run on.

Shapes: T time, B batch, V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rondel.kernels.inference.token_by import TokenBy as TokenBy
from rondel.kernels.inference.written import Written as Written

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.integer[Any]]
EngineState = tuple[Floats, ...]
"""One array (L, B, H) for each of the cell's state names, in their order."""


class Stack(Protocol):
    """Recurrent layers over tokens. The state is passed in and returned; the stack keeps none.

    Later calls do not write into the arrays that a call returns. Tokens that are outside the
    vocabulary or not whole numbers, and a state of another shape, raise `InputError`.
    """

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """Return zeros, the state at the start of every training text."""

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """Return the state after a sequence, without outputs (a long prime needs none)."""

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Return the last layer's outputs (T, B, H) after each token, and the last state."""

    def layer_outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Return every layer's outputs (L, T, B, H) after each token, and the last state."""


class Engine(Stack, Protocol):
    """A language model ready to run: a stack, and a head that maps its outputs to logits."""

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's results are the same, bit for bit, alone and in any batch."""

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Return the next token's logits (B, V) after one token a stream, and the next state."""

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Return the next token's logits (T, B, V) after each token, and the last state."""

    def streams(self, capacity: int, forbidden: int | None) -> Streams | None:
        """Allocate up to `capacity` streams that choose their tokens, never the forbidden one.

        Returns `None` if the engine cannot: the caller then steps it and chooses the tokens.
        """


@runtime_checkable
class CommonFirst(Protocol):
    """An engine whose head gives the log-probabilities of common tokens before all others."""

    cluster_sizes: npt.NDArray[np.int64]
    """How many tokens each cluster of the others has (K,)."""

    def common(
        self, tokens_B: Ids, state: EngineState
    ) -> tuple[Floats, Floats, Floats, EngineState]:
        """Return log-probabilities of common tokens (B, C) and of clusters (B, K), and the rest.

        That is the outputs (B, H), for `all_logits`, and the next state.
        """

    def all_logits(self, outputs_BH: Floats) -> Floats:
        """Return the logits (B, V) of outputs."""


class Streams(Protocol):
    """Streams whose state an engine keeps: each continues from its own last token.

    They have indices from 0 on. Not thread-safe.
    """

    def add(
        self,
        state: EngineState,
        token: int,
        by: TokenBy,
        temperature: float,
        alternatives: int | None = None,
    ) -> None:
        """Add a stream at the end: its last token, and its state (L, 1, H) before that token.

        With `alternatives`, log-probabilities are reported: of each token that is not the caller's,
        and of so many likeliest ones.
        """

    def remove(self, index: int) -> None:
        """Remove a stream; the last one gets its index."""

    def step(
        self,
        steps: int,
        uniforms: npt.NDArray[np.float64],
        begins_word: npt.NDArray[np.bool_],
        given: npt.NDArray[np.int64],
    ) -> tuple[Written, npt.NDArray[np.int64]]:
        """Return what comes next, and how many uniform numbers each stream used.

        `uniforms` is (streams, steps), `given` (steps, streams). Raises `ModelFolderError` if
        logits are not finite.
        """

    def set_token(self, index: int, token: int) -> None:
        """Set the next token of a stream whose tokens the caller chooses."""

    def logits(self, index: int) -> Floats:
        """Return a stream's logits (V,) after its last step."""

    def state(self, index: int) -> EngineState:
        """Return a copy of a stream's state (L, 1, H) before its last token, as for `add`."""
