"""Dynamic evaluation: the model keeps learning from the text it is scored on.

After Krause, Kahembwe, Murray & Renals, "Dynamic evaluation of neural sequence models" (ICML
2018). The text is read segment by segment; each is scored first and then learnt from:

    theta += - rate * gradient / (rms + epsilon) + decay * relative * (trained - theta)

`rms` is the root of each parameter's mean squared gradient on the training text, epsilon a fraction
of the mean rms of all parameters, and `relative` the rms divided by that mean; decay * relative is
at most 1. Without the training text, rms and relative are 1 and epsilon is 0: plain SGD.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rondel.artifact import Artifact
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, unwatched
from rondel.evaluation.block_reading import Tick
from rondel.evaluation.dynamic_settings import PLAIN_RATE, SCALED_RATE, DynamicSettings
from rondel.evaluation.evaluate import Evaluation, evaluate_by
from rondel.evaluation.text_blocks import Block, Blocks
from rondel.kinds import kind_of
from rondel.models.base import Model, ModelState, TensorBatch

Ids = npt.NDArray[np.integer[Any]]
PLACES, SEGMENTS_AT_A_PLACE = 10, 50
"""Gradients are measured on so many segments at each of so many places in the training text."""
EPSILON = 0.1


def evaluate_dynamically(
    parts: Artifact,
    blocks: Blocks,
    settings: DynamicSettings,
    *,
    training_ids: Ids | None = None,
    watch: Watch = unwatched,
    characters: int | None = None,
) -> Evaluation:
    """Score the documents of blocks, while a copy of the model learns.

    `training_ids` are the tokens of the model's training text. `watch` and `characters` are as for
    `evaluate`. Raises `InputError` if no token follows another, for a model that does not only read
    forward, or if the model's output stops being finite.
    """
    if not kind_of(parts.config).is_causal:
        raise InputError("dynamic evaluation is for models that predict from what stands before")
    learner = _Learner(parts, settings, training_ids)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a single stream has no work for two
    try:
        return evaluate_by(learner.score, parts.tokenizer, blocks, watch, characters=characters)
    finally:
        torch.set_num_threads(threads)


class _Learner:
    """A copy of the model, its trained parameters, and the step size of each."""

    def __init__(
        self, parts: Artifact, settings: DynamicSettings, training_ids: Ids | None
    ) -> None:
        config = dataclasses.replace(parts.config, dropout=0.0, embedding_dropout=0.0)
        self.settings = settings
        self.model: Model = kind_of(config).module(config)
        self.model.load(parts.weights)
        self.parameters = list(self.model.parameters())
        self.trained = [p.detach().clone() for p in self.parameters]
        if training_ids is None or len(training_ids) < 2:
            rate = PLAIN_RATE if settings.rate is None else settings.rate
            self.steps = [torch.full_like(p, rate) for p in self.trained]
            self.pulls = [torch.full_like(p, settings.decay) for p in self.trained]
        else:
            rate = SCALED_RATE if settings.rate is None else settings.rate
            rms = self._root_mean_squares(training_ids)
            mean = sum(float(r.sum()) for r in rms) / sum(r.numel() for r in rms)
            self.steps = [rate / (r + EPSILON * mean) for r in rms]
            self.pulls = [(settings.decay * r / mean).clamp(max=1.0) for r in rms]

    def score(
        self, blocks: Iterable[Block], tick: Tick
    ) -> Iterator[tuple[Block, npt.NDArray[np.float64]]]:
        """The nats of each segment that ends in a block; after each the parameters change."""
        segments = _Segments(self.model, self.settings.segment)
        for block in blocks:
            nats = []
            for part in block.parts:
                if part.begins:
                    segments = _Segments(self.model, self.settings.segment)
                for count, loss in segments.of(part.ids, ends=part.ends):
                    nats.append(count * loss.item())
                    self._update(torch.autograd.grad(loss, self.parameters, materialize_grads=True))
            if not np.isfinite(nats).all():
                raise InputError("the loss is not finite; lower the rate of dynamic evaluation")
            tick(block, 1.0)
            yield block, np.array(nats)

    @torch.no_grad()
    def _update(self, gradients: tuple[Tensor, ...]) -> None:
        updated = zip(self.parameters, gradients, self.steps, self.pulls, self.trained, strict=True)
        for parameter, gradient, step, pull, trained in updated:
            parameter.add_(pull * (trained - parameter) - step * gradient)

    def _root_mean_squares(self, training_ids: Ids) -> list[Tensor]:
        """Return the rms of the gradients on segments from all over the training text."""
        length = self.settings.segment
        stretch = length * SEGMENTS_AT_A_PLACE + 1
        begins = np.linspace(0, max(0, len(training_ids) - stretch), PLACES).astype(int)
        squares, count = [torch.zeros_like(p) for p in self.trained], 0
        for begin in np.unique(begins):
            ids = training_ids[begin : begin + stretch]
            for _, loss in _Segments(self.model, length).of(ids, ends=True):
                gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
                for square, gradient in zip(squares, gradients, strict=True):
                    square.add_(gradient * gradient)
                count += 1
        return [torch.sqrt(square / count) for square in squares]


class _Segments:
    """The segments of a passage that comes in parts, read from the zero state."""

    def __init__(self, model: Model, length: int) -> None:
        self._model, self._length = model, length
        self._state: ModelState = model.initial_state(1)
        self._held = torch.empty(0, dtype=torch.int64)

    def of(self, ids: Ids, *, ends: bool) -> Iterator[tuple[int, Tensor]]:
        """How many tokens a segment predicts, and their mean loss, to be differentiated."""
        self._held = torch.cat([self._held, torch.from_numpy(ids.astype(np.int64))])
        while len(self._held) > self._length or (ends and len(self._held) > 1):
            chunk = self._held[: self._length + 1, None]
            self._held = self._held[self._length :]
            terms, state = self._model.losses(TensorBatch(chunk[:-1], chunk[1:]), self._state, 0)
            self._state = tuple(part.detach() for part in state)
            yield len(chunk) - 1, terms["nll"]
