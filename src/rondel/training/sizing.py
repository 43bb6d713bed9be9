"""Choose a model's size, dropout, batch size, learning rate and passes for `--minutes`.

The choice depends on the number of tokens in the text and on the number of operations that the
machine can do in that time. `rondel.training.resolve` decides when it is made, and has the defaults
otherwise.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from typing import Any, NamedTuple

from rondel.cells import cells
from rondel.settings.sections import ModelConfig, TrainingConfig

# The sizes to choose from: whole multiples of 64, at which kernels are fastest.
HIDDEN_SIZES = (64, 128, 192, 256, 384, 512, 768, 1024)
# Of a training step, per token and weight: three products of two operations each.
OPERATIONS = 6

# The constants below were best on texts of 50 kB to 20 MB, in half a minute to half an hour; after
# a change, compare with benchmarks/texts.py.
# Tokens to read, passes included, per recurrent weight; RATIO from FEW_PASSES passes on.
RATIO, RATIO_OF_FEW_PASSES, FEW_PASSES = 4.0, 16.0, 4.0
# Operations of the whole run.
TWO_LAYERS_FROM = 1e14
PASSES_WITHOUT_DROPOUT, MOST_DROPOUT = 2.5, 0.5
# The rate of a model of at most NARROW units; a larger one's is lower.
LEARNING_RATE, NARROW = 4e-3, 256
# The most passes over a text of a million tokens; it grows with the text by this power.
MOST_PASSES, MOST_PASSES_POWER = 32.0, 0.25
SHORT_TEXT, SMALL_BATCH, BATCH = 200_000, 16, 32
STEPS_A_STREAM = 8 * TrainingConfig.seq_length

# The model and batch that are timed to measure the machine.
TRIED = ModelConfig(vocab_size=64, embedding_size=64, hidden_size=256, num_layers=1)
TRIED_BATCH = (64, 32)
TRIES = 5


class Size(NamedTuple):
    """A model's size and dropout, and the settings of its training."""

    num_layers: int
    hidden_size: int
    dropout: float
    learning_rate: float
    batch_size: int
    epochs: float | None
    """Passes after which it would only overfit; None if the time is over before that."""

    def __str__(self) -> str:
        passes = f", {self.epochs:g} passes at most" if self.epochs else ""
        return f"{self.num_layers}×{self.hidden_size} and dropout {self.dropout:g}{passes}"

    def settings(self) -> dict[str, Any]:
        """Return the chosen settings by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def recurrent_weights(cell: str, num_layers: int, hidden_size: int) -> int:
    """Return the number of weights that each token is multiplied by, without the head.

    The first layer's input is a look-up, so it has one matrix and every other layer two.
    """
    return len(cells[cell].gates) * hidden_size**2 * (2 * num_layers - 1)


def operations_per_token(cell: str, num_layers: int, hidden_size: int, vocab_size: int) -> int:
    """Return the floating-point operations of a training step per token."""
    head = hidden_size * vocab_size
    return OPERATIONS * (recurrent_weights(cell, num_layers, hidden_size) + head)


def best_size(cell: str, tokens: int, vocab_size: int, operations: float) -> Size:
    """Return the size for a text of so many tokens, to be trained with so many operations.

    It is the largest of `HIDDEN_SIZES` that has time to read `RATIO` tokens per recurrent weight,
    or `RATIO_OF_FEW_PASSES` if it reads the text fewer than `FEW_PASSES` times. Dropout rises with
    the number of passes.
    """
    num_layers = 2 if operations >= TWO_LAYERS_FROM else 1

    def read(hidden_size: int) -> float:
        return operations / operations_per_token(cell, num_layers, hidden_size, vocab_size)

    def needed(hidden_size: int) -> float:
        ratio = RATIO if read(hidden_size) >= FEW_PASSES * tokens else RATIO_OF_FEW_PASSES
        return ratio * recurrent_weights(cell, num_layers, hidden_size)

    fitting = [size for size in HIDDEN_SIZES if read(size) >= needed(size)]
    hidden_size = max(fitting, default=HIDDEN_SIZES[0])
    passes = read(hidden_size) / tokens
    most = MOST_PASSES * (tokens / 1e6) ** MOST_PASSES_POWER
    return Size(
        num_layers,
        hidden_size,
        _dropout(passes),
        # At a narrow layer's rate, the loss of a wide one may rise for a while.
        round(LEARNING_RATE * min(1.0, NARROW / hidden_size) ** 0.4, 5),
        _batch_size(tokens),
        round(most, 1) if passes > most else None,
    )


def _batch_size(tokens: int) -> int:
    """Return the number of streams, fewer for a short text so that each has several sequences."""
    batch_size = SMALL_BATCH if tokens < SHORT_TEXT else BATCH
    while batch_size > 1 and tokens < batch_size * STEPS_A_STREAM:
        batch_size //= 2
    return batch_size


def _dropout(passes: float) -> float:
    """Return 0 for a few passes over the text, then 0.1 more for each doubling."""
    rising = 0.1 * math.log2(max(1.0, passes / PASSES_WITHOUT_DROPOUT))
    return round(min(MOST_DROPOUT, rising), 2)


@dataclasses.dataclass(frozen=True)
class Machine:
    """The machine's speed, measured on first use."""

    device: str = "auto"
    threads: int | None = None
    processes: int = 1
    """How many processes train together; all are assumed to be as fast as this one."""

    @functools.cached_property
    def operations_per_second(self) -> float:
        """Floating-point operations per second in training, by a few steps of a small model."""
        import torch

        from rondel.models.base import TensorBatch
        from rondel.models.language_model_module import LanguageModel
        from rondel.training.devices import choose_device

        if self.threads:
            torch.set_num_threads(self.threads)
        device = choose_device(self.device)
        with torch.random.fork_rng(devices=[]):
            model = LanguageModel(TRIED).to(device)
            tokens_TB = torch.randint(TRIED.vocab_size, TRIED_BATCH).to(device)
        state = model.initial_state(TRIED_BATCH[1])

        def seconds() -> float:
            begin = time.perf_counter()
            terms, _ = model.losses(TensorBatch(tokens_TB, tokens_TB), state, 0)
            terms["nll"].backward()  # type: ignore[no-untyped-call]
            terms["nll"].item()  # waits for a GPU to finish
            return time.perf_counter() - begin

        seconds()  # compiles
        operations = tokens_TB.numel() * operations_per_token(
            TRIED.cell, TRIED.num_layers, TRIED.hidden_size, TRIED.vocab_size
        )
        return self.processes * operations / min(seconds() for _ in range(TRIES))
