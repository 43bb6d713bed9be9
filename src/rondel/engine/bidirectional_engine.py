"""The engine of a bidirectional model: two stacks, which read the text forward and backward.

Shapes: T time, N tokens of one sequence, B batch, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rondel.engine import build_engine, build_stack
from rondel.engine.base import EngineState, Floats, Ids, Stack
from rondel.engine.head import Head
from rondel.engine.stack_config import StackConfig
from rondel.settings import ModelConfig

LARGEST_BATCH = 16_384
"""Tokens of a batch of sequences, padding included."""


class BidirectionalEngine:
    """Predicts a token from the context on both sides of it, never from the token itself.

    `causal` reads the text forward, and is a language model; `reverse` is the stack that reads it
    backward. Weights are named as in the model folder.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Floats]) -> None:
        self.config = config
        self.causal = build_engine(config, weights)
        self.reverse = build_stack(StackConfig.of(config), weights, "backward.")
        self._before_HH, self._after_HH = np.split(weights["join.weight"].T, 2)
        self._join_bias = weights["join.bias"]
        self._cloze_head, self._causal_head = Head.of(weights, "cloze"), Head.of(weights)

    def before(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Return outputs (T, B, H) of the stack `causal` before each token, and its last state.

        `state` is its state before the first token; the last state is after the last token.
        """
        outputs_TBH, last = self.causal.outputs(tokens_TB, state)
        return np.concatenate([state[0][-1:], outputs_TBH[:-1]]), last

    def after(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Return outputs (T, B, H) of the stack `reverse` after each token, and its last state.

        `state` is its state before it reads the last token; the last state is after the first.
        """
        outputs_TBH, last = self.reverse.outputs(tokens_TB[::-1], state)
        return np.concatenate([state[0][-1:], outputs_TBH[:-1]])[::-1], last

    def logits(self, before: Floats, after: Floats) -> Floats:
        """Return logits (…, V) of a token from the outputs (…, H) before and after it."""
        joined = before @ self._before_HH
        joined += after @ self._after_HH
        joined += self._join_bias
        return self._cloze_head(np.tanh(joined, out=joined))

    def causal_logits(self, before: Floats) -> Floats:
        """Return logits (…, V) of a token from the outputs (…, H) before it, by `causal`'s head."""
        return self._causal_head(before)

    def outputs(self, sequences: Sequence[Ids]) -> list[tuple[Floats, Floats]]:
        """Return both stacks' outputs (N, H) at every token of each sequence, the token included.

        The first of a pair has read the token and all before it, the second it and all after it.
        """
        results: list[tuple[Floats, Floats]] = [None] * len(sequences)  # type: ignore[list-item]
        # Batches of similar lengths need little padding.
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
        while order:
            width = max(1, LARGEST_BATCH // max(1, len(sequences[order[0]])))
            batch, order = order[:width], order[width:]
            forward = _padded_outputs(self.causal, [sequences[i] for i in batch])
            backward = _padded_outputs(self.reverse, [sequences[i][::-1] for i in batch])
            for b, i in enumerate(batch):
                count = len(sequences[i])
                results[i] = forward[:count, b].copy(), backward[:count, b][::-1].copy()
        return results


def _padded_outputs(stack: Stack, sequences: Sequence[Ids]) -> Floats:
    """Return outputs (T, B, H) of sequences padded at their ends to T tokens."""
    tokens_TB = np.zeros((max(map(len, sequences)), len(sequences)), np.int64)
    for b, sequence in enumerate(sequences):
        tokens_TB[: len(sequence), b] = sequence
    return stack.outputs(tokens_TB, stack.initial_state(len(sequences)))[0]
