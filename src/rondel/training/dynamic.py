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
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rondel.artifact import Artifact
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, unwatched
from rondel.evaluation.dynamic_settings import PLAIN_RATE, SCALED_RATE, DynamicSettings
from rondel.evaluation.evaluate import Evaluation, evaluation_from_nats, refuse_too_short
from rondel.kinds import kind_of
from rondel.models.base import Model, ModelState, TensorBatch

Ids = npt.NDArray[np.integer[Any]]
PLACES, SEGMENTS_AT_A_PLACE = 10, 50
"""Gradients are measured on so many segments at each of so many places in the training text."""
EPSILON = 0.1


def evaluate_dynamically(
    parts: Artifact,
    ids: Ids,
    characters: int,
    settings: DynamicSettings,
    *,
    training_ids: Ids | None = None,
    watch: Watch = unwatched,
    text: str | None = None,
) -> Evaluation:
    """Score token ids (N,) of a text of so many characters, while a copy of the model learns.

    `training_ids` are the tokens of the model's training text. `watch` and `text` are as for
    `evaluate`. Raises `InputError` for fewer than two tokens, for a model that does not only read
    forward, or if the model's output stops being finite.
    """
    refuse_too_short(ids)
    if not kind_of(parts.config).is_causal:
        raise InputError("dynamic evaluation is for models that predict from what stands before")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a single stream has no work for two
    try:
        nats = _Learner(parts, settings, training_ids).score(ids, watch)
    finally:
        torch.set_num_threads(threads)
    if not np.isfinite(nats):
        raise InputError("the loss is not finite; lower the rate of dynamic evaluation")
    return evaluation_from_nats(parts.tokenizer, ids, characters, nats, text)


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

    def score(self, ids: Ids, watch: Watch) -> float:
        """Return the nats of all ids (N,) but the first; update the model after each segment."""
        nats, done = 0.0, 0
        for count, loss in self._segments(ids, self.settings.segment):
            nats += count * loss.item()
            self._update(torch.autograd.grad(loss, self.parameters, materialize_grads=True))
            done += count
            watch(done / (len(ids) - 1))
        return nats

    def _segments(self, ids: Ids, length: int) -> Iterator[tuple[int, Tensor]]:
        """Yield, for each segment, the number of predicted tokens and their mean loss."""
        tokens = torch.from_numpy(ids.astype(np.int64))
        state: ModelState = self.model.initial_state(1)
        for begin in range(0, len(ids) - 1, length):
            chunk = tokens[begin : begin + length + 1, None]
            terms, state = self.model.losses(TensorBatch(chunk[:-1], chunk[1:]), state, 0)
            state = tuple(part.detach() for part in state)
            yield len(chunk) - 1, terms["nll"]

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
            for _, loss in self._segments(training_ids[begin : begin + stretch], length):
                gradients = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
                for square, gradient in zip(squares, gradients, strict=True):
                    square.add_(gradient * gradient)
                count += 1
        return [torch.sqrt(square / count) for square in squares]
