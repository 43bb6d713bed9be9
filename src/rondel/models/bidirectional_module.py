"""The bidirectional model: predict each token from those before it and those after it.

Two independent stacks, one reading the text forward and one backward (Schuster & Paliwal 1997; for
language models Mousa & Schuller 2017). A token is predicted from the forward stack's output before
it and the backward stack's output after it, so that no layer sees the token itself. The forward
stack also has its own head: it is an ordinary language model, trained jointly.

Shapes: T time, B batch, N tokens read, E embedding size, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from rondel.cells import build_cell
from rondel.data.batches import PADDING
from rondel.models.base import Model, ModelState, TensorBatch
from rondel.models.language_model_module import LanguageModel
from rondel.nn.blocked_loss import mean_head_nll
from rondel.nn.stack import RecurrentStack, StackState
from rondel.settings import ModelConfig


class BidirectionalModel(Model):
    """A language model, a second stack that reads backward, and a head over both.

    In a model folder the language model's arrays have their usual names; the second stack is
    `backward.…`, and the head is `join` (H, 2H) and a tanh, then `cloze` (V, H), whose matrix is
    the embedding with `tie_weights`.

    The state is the language model's and then the second stack's. Only in its reading direction can
    a stack's state be carried across chunks. So half of the streams go in each direction; in them,
    the other stack starts each chunk from zeros. Both stacks train on zero and carried states.
    """

    reported: ClassVar[tuple[str, ...]] = ("cloze",)

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
        """Return zeros: (L, B, H) for each state name, first `causal`'s, then `reverse`'s."""
        return self.causal.initial_state(batch_size) + self.reverse.initial_state(batch_size)

    def forward(
        self, tokens_NB: Tensor, steps: int, state: ModelState
    ) -> tuple[Tensor, Tensor, ModelState]:
        """Return the context of the first `steps + 1` of N > `steps` tokens, on both sides.

        Outputs (steps + 1, B, H) of `causal` before and of `reverse` after each of these tokens,
        and the last states: `causal` has read `steps` tokens, `reverse` all but the first.
        """
        causal_state, reverse_state = _halves(state)
        x_NBE = self.causal.embed(tokens_NB)
        causal_TBH, causal_last = self.causal.core(x_NBE[:steps], causal_state)
        reverse_NBH, reverse_last = self.reverse(x_NBE[1:].flip(0), reverse_state)
        before = torch.cat([_top(causal_state), causal_TBH])
        after = torch.cat([_top(reverse_state), reverse_NBH]).flip(0)[: steps + 1]
        return before, after, causal_last + reverse_last

    def cloze_logits(self, before: Tensor, after: Tensor) -> Tensor:
        """Return logits (…, V) of a token, from the outputs (…, H) before and after it."""
        logits: Tensor = self.cloze(self._joined(before, after))
        return logits

    def _joined(self, before: Tensor, after: Tensor) -> Tensor:
        return torch.tanh(self.join(torch.cat([before, after], -1)))

    def losses(
        self, batch: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """Return `cloze` and `causal`: means of -log p of the targets, in nats per token.

        `cloze` predicts from both sides of each target, `causal` from those before it. In leftward
        streams the chunk's first token is a target of `cloze` too.
        """
        steps, streams = batch.inputs.shape
        before, after, last = self(_window(batch), steps, state)
        leftward_B = torch.arange(streams, device=before.device) >= streams - batch.leftward
        first_1B = torch.where(leftward_B, batch.inputs[:1], PADDING)
        terms = {
            "cloze": mean_head_nll(
                self._joined(before, after), self.cloze, torch.cat([first_1B, batch.targets])
            ),
            "causal": mean_head_nll(before[1:], self.causal.head, batch.targets),
        }
        causal_state, reverse_state = _halves(last)
        leftward_B1 = leftward_B[:, None].to(before.dtype)
        return terms, (
            *(part_LBH * (1 - leftward_B1) for part_LBH in causal_state),
            *(part_LBH * leftward_B1 for part_LBH in reverse_state),
        )

    def count(self, term: str, targets_TB: Tensor, leftward: int) -> int:
        """See `Model.count`; a chunk's first token is a target of `cloze` in leftward streams."""
        return super().count(term, targets_TB, leftward) + leftward * (term == "cloze")

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
    """Return the last layer's output (1, B, H) in a state."""
    return state[0][-1:]


def _window(batch: TensorBatch) -> Tensor:
    """Return the inputs and the tokens that follow them (N, B)."""
    if batch.following is not None:
        return torch.cat([batch.inputs, batch.following])
    last_1B = batch.targets[-1:]
    # A stream that has ended has no target. Any token will do, since it does not count.
    return torch.cat([batch.inputs, torch.where(last_1B == PADDING, batch.inputs[-1:], last_1B)])
