"""The engine of a bidirectional model: two stacks, one with the text and one against it.

Shapes: T time, N tokens of one sequence, B batch, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rondel.engine import build_engine, build_stack
from rondel.engine.base import EngineState, Floats, Ids, Stack
from rondel.engine.head import Head
from rondel.engine.stack import StackConfig
from rondel.settings import ModelConfig

LARGEST_BATCH = 16_384
"""Tokens of short sequences that are read side by side."""


class BidirectionalEngine:
    """Predicts a token from what stands on both sides of it, and never from the token.

    `causal` is the half that reads with the text, which is a language model; `reverse` is the stack
    that reads against it. Weights are named as in the model folder.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, Floats]) -> None:
        self.config = config
        self.causal = build_engine(config, weights)
        self.reverse = build_stack(StackConfig.of(config), weights, "backward.")
        self._before_HH, self._after_HH = np.split(weights["join.weight"].T, 2)
        self._join_bias = weights["join.bias"]
        self._cloze_head, self._causal_head = Head.of(weights, "cloze"), Head.of(weights)

    def before(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Outputs (T, B, H) of the stack that reads with the text, before each token.

        `state` is of what stands before the first token; the one given back is after the last.
        """
        outputs_TBH, last = self.causal.outputs(tokens_TB, state)
        return np.concatenate([state[0][-1:], outputs_TBH[:-1]]), last

    def after(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """Outputs (T, B, H) of the stack that reads against the text, after each token.

        `state` is of what stands after the last token; the one given back has read the first too.
        """
        outputs_TBH, last = self.reverse.outputs(tokens_TB[::-1], state)
        return np.concatenate([state[0][-1:], outputs_TBH[:-1]])[::-1], last

    def logits(self, before: Floats, after: Floats) -> Floats:
        """Logits (…, V) of a token from the outputs (…, H) before and after it."""
        joined = before @ self._before_HH
        joined += after @ self._after_HH
        joined += self._join_bias
        return self._cloze_head(np.tanh(joined, out=joined))

    def causal_logits(self, before: Floats) -> Floats:
        """Logits (…, V) of a token from the outputs (…, H) before it, by the causal half."""
        return self._causal_head(before)

    def outputs(self, sequences: Sequence[Ids]) -> list[tuple[Floats, Floats]]:
        """Both stacks' outputs (N, H) at every token of each sequence, the token itself read.

        The first of a pair has read the token and all before it, the second it and all after it.
        """
        results: list[tuple[Floats, Floats]] = [None] * len(sequences)  # type: ignore[list-item]
        # Sequences of about the same length go together: what is shorter than its batch is padded.
        order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
        while order:
            width = max(1, LARGEST_BATCH // max(1, len(sequences[order[0]])))
            batch, order = order[:width], order[width:]
            own = [sequences[i] for i in batch]
            forth = _padded_outputs(self.causal, own)
            back = _padded_outputs(self.reverse, [sequence[::-1] for sequence in own])
            for b, i in enumerate(batch):
                count = len(sequences[i])
                results[i] = forth[:count, b].copy(), back[:count, b][::-1].copy()
        return results


def _padded_outputs(stack: Stack, sequences: Sequence[Ids]) -> Floats:
    """Outputs (T, B, H) of sequences that all begin together, the longest of T tokens."""
    tokens_TB = np.zeros((max(map(len, sequences)), len(sequences)), np.int64)
    for b, sequence in enumerate(sequences):
        tokens_TB[: len(sequence), b] = sequence
    return stack.outputs(tokens_TB, stack.initial_state(len(sequences)))[0]
