"""Engines of any stack and a head that kernels do not compute."""

from __future__ import annotations

import numpy as np

from rondel.engine.base import EngineState, Floats, Ids, Stack
from rondel.engine.head import AdaptiveHead, AnyHead


def headed(stack: Stack, head: AnyHead) -> HeadedStack:
    """Return the engine of a stack and a head."""
    return (
        ClusteredStack(stack, head) if isinstance(head, AdaptiveHead) else HeadedStack(stack, head)
    )


class HeadedStack:
    """A language model whose head is computed in NumPy; see `Engine`."""

    batch_invariant = False

    def __init__(self, stack: Stack, head: AnyHead) -> None:
        self._stack = stack
        self.initial_state = stack.initial_state
        self.advance, self.outputs = stack.advance, stack.outputs
        self.layer_outputs = stack.layer_outputs
        self.all_logits = head.__call__

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Engine.step`."""
        outputs_BH, state = self._outputs(tokens_B, state)
        return self.all_logits(outputs_BH), state

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Engine.sequence`."""
        outputs_TBH, state = self._stack.outputs(tokens_TB, state)
        return self.all_logits(outputs_TBH), state

    def streams(self, capacity: int, forbidden: int | None) -> None:
        """Return None: it has no streams. See `Engine.streams`."""

    def _outputs(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        outputs_1BH, state = self._stack.outputs(np.asarray(tokens_B)[None], state)
        return outputs_1BH[0], state


class ClusteredStack(HeadedStack):
    """One with an adaptive softmax; see `CommonFirst`."""

    def __init__(self, stack: Stack, head: AdaptiveHead) -> None:
        super().__init__(stack, head)
        self._head = head
        self.cluster_sizes = np.array([len(words) for _, words in head.clusters], np.int64)

    def common(
        self, tokens_B: Ids, state: EngineState
    ) -> tuple[Floats, Floats, Floats, EngineState]:
        """See `CommonFirst.common`."""
        outputs_BH, state = self._outputs(tokens_B, state)
        first = self._head.first(outputs_BH)
        return first[:, : self._head.common], first[:, self._head.common :], outputs_BH, state
