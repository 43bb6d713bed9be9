"""The bidirectional model: predict each token from those before it and those after it.

Two stacks that know nothing of each other, one reading with the text and one against it (Schuster
& Paliwal 1997; for language models Mousa & Schuller 2017). What predicts a token is the one's
output before it and the other's after it, so that no layer ever sees the token itself. The stack
that reads with the text has a head of its own and is an ordinary language model, trained jointly.

Shapes: T time, B batch, N tokens that are read, E embedding size, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rondel.cells import build_cell
from rondel.data.batches import PADDING
from rondel.models.base import Model, ModelState, TensorBatch
from rondel.models.language_model import LanguageModel
from rondel.nn.stack import RecurrentStack, StackState
from rondel.settings import ModelConfig


class BidirectionalModel(Model):
    """A language model, a second stack that reads against the text, and a head over both.

    In a model folder the language model's arrays have their usual names; the second stack is
    `backward.…`, and the head is `join` (H, 2H) and a tanh, then `cloze` (V, H), whose matrix is
    the embedding with `tie_weights`.

    The state is the language model's and then the second stack's. Across chunks each of the two can
    be carried only the way it reads, so that is the way half of the streams go, and the other stack
    starts from zeros at the far edge of the chunk: both learn to begin, and to go on for long.
    """

    told: ClassVar[tuple[str, ...]] = ("cloze",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.causal = LanguageModel(config)
        self.reverse = RecurrentStack(
            build_cell(config),
            config.embedding_size or config.vocab_size,
            config.hidden_size,
            config.num_layers,
            config.dropout,
            config.variational,
        )
        self.join = nn.Linear(2 * config.hidden_size, config.hidden_size)
        self.cloze = nn.Linear(config.hidden_size, config.vocab_size)
        if config.tie_weights:
            self.cloze.weight = self.causal.head.weight
            nn.init.zeros_(self.cloze.bias)

    def initial_state(self, batch_size: int) -> ModelState:
        """Zeros, (L, B, H) for each state name of the one stack and then of the other."""
        return self.causal.initial_state(batch_size) + self.reverse.initial_state(batch_size)

    def forward(
        self, tokens_NB: Tensor, steps: int, state: ModelState
    ) -> tuple[Tensor, Tensor, ModelState]:
        """What stands on either side of the first `steps + 1` of N > `steps` tokens.

        Outputs of the stacks (steps + 1, B, H) before and after each of these tokens, and their
        last states: after `steps` tokens of the one, after all but the first token of the other.
        """
        forth, back = _halves(state)
        x_NBE = self.causal.embed(tokens_NB)
        ahead_TBH, forth_after = self.causal.core(x_NBE[:steps], forth)
        behind_NBH, back_after = self.reverse(x_NBE[1:].flip(0), back)
        before = torch.cat([_top(forth), ahead_TBH])
        after = torch.cat([_top(back), behind_NBH]).flip(0)[: steps + 1]
        return before, after, forth_after + back_after

    def cloze_logits(self, before: Tensor, after: Tensor) -> Tensor:
        """Logits (…, V) of a token, from the outputs (…, H) before and after it."""
        logits: Tensor = self.cloze(torch.tanh(self.join(torch.cat([before, after], -1))))
        return logits

    def losses(
        self, batch: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """`cloze` and `causal`: means of -log p of the targets, in nats per token.

        `cloze` is given both sides of each target, `causal` what is before it. The chunk's first
        token is a target of `cloze` too in streams that go leftward.
        """
        steps, streams = batch.inputs.shape
        before, after, last = self(_window(batch), steps, state)
        leftward_B = torch.arange(streams, device=before.device) >= streams - batch.leftward
        first_1B = torch.where(leftward_B, batch.inputs[:1], PADDING)
        terms = {
            "cloze": _nll(self.cloze_logits(before, after), torch.cat([first_1B, batch.targets])),
            "causal": _nll(self.causal.head(before[1:]), batch.targets),
        }
        forth, back = _halves(last)
        kept = leftward_B[:, None].to(before.dtype)
        return terms, (
            *(part_LBH * (1 - kept) for part_LBH in forth),
            *(part_LBH * kept for part_LBH in back),
        )

    def named_arrays(self) -> dict[str, Tensor]:
        """See `Model.named_arrays`."""
        arrays = self.causal.named_arrays()
        arrays |= {f"backward.{name}": array for name, array in self.reverse.named_arrays().items()}
        arrays |= {"join.weight": self.join.weight, "join.bias": self.join.bias}
        arrays["cloze.bias"] = self.cloze.bias
        if not self.config.tie_weights:
            arrays["cloze.weight"] = self.cloze.weight
        return arrays


def _halves(state: ModelState) -> tuple[StackState, StackState]:
    return state[: len(state) // 2], state[len(state) // 2 :]


def _top(state: StackState) -> Tensor:
    """The last layer's output (1, B, H) that a state began after."""
    return state[0][-1:]


def _window(batch: TensorBatch) -> Tensor:
    """The inputs and what follows them (N, B)."""
    if batch.following is not None:
        return torch.cat([batch.inputs, batch.following])
    last_1B = batch.targets[-1:]
    # Where a stream has ended there is no target: any token will do, for nothing there is counted.
    return torch.cat([batch.inputs, torch.where(last_1B == PADDING, batch.inputs[-1:], last_1B)])


def _nll(logits_TBV: Tensor, targets_TB: Tensor) -> Tensor:
    return functional.cross_entropy(
        logits_TBV.flatten(0, 1).float(), targets_TB.flatten(), ignore_index=PADDING
    )
