"""A learner over the NumPy reference, for the same loop and the same folders."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rondel.cells import cells
from rondel.data.batches import PADDING, Batch, evaluation_streams
from rondel.data.store import Ids
from rondel.engine.probability import nll
from rondel.errors import InputError
from rondel.folder_files import Arrays
from rondel.kinds import kind_of
from rondel.reference import (
    Model,
    RMSprop,
    clip_by_norm,
    clip_by_value,
    initial_parameters,
    make_cell,
)
from rondel.settings import RunConfig
from rondel.training.learner import Snapshot, StepResult, steps_at_a_time

if TYPE_CHECKING:
    from rondel.training.distributed import ProcessGroup

ONLY: dict[str, Any] = {
    "optimizer": "rmsprop",
    "weight_decay": 0.0,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "precision": "fp32",
    "freeze_embedding": False,
    "softmax": "full",
}
"""The only values that the reference has for these settings: those of the classic character RNN."""


def reference_cells() -> list[str]:
    """Return the registered cells that the reference has."""
    found = []
    for name in cells:
        with suppress(KeyError):
            make_cell(name)
            found.append(name)
    return found


def refuse_beyond_reference(config: RunConfig) -> None:
    """Raise `InputError` for settings of a run that the reference does not have."""
    kind, settings = kind_of(config.model), config.flat()
    if not kind.has_reference:
        raise InputError(
            f"--backend numpy is the plain reference and has no {kind.noun}; use --backend torch"
        )
    if config.model.cell not in reference_cells():
        raise InputError(
            f"--backend numpy has no cell {config.model.cell}; "
            f"it has {', '.join(reference_cells())}"
        )
    for name, only in ONLY.items():
        if settings[name] != only:
            raise InputError(
                f"--backend numpy is the plain reference and has only {name} = {only!r}; "
                "leave that flag out, or use --backend torch"
            )
    if settings["device"] not in ("auto", "cpu"):
        raise InputError("--backend numpy runs on the CPU only; leave --device out")


class NumpyLearner:
    """A `Learner` over `rondel.reference`. See `rondel.training.learner.Learner`."""

    def __init__(self, config: RunConfig) -> None:
        model, self.config = config.model, config.training
        cell = make_cell(model.cell, model.own.get("nonlinearity", "tanh"))
        parameters = initial_parameters(
            cell,
            model.vocab_size,
            model.hidden_size,
            model.num_layers,
            model.embedding_size,
            model.tie_weights,
            model.own.get("forget_bias", 0.0),
            config.training.seed,
        )
        self.model = Model(cell, parameters)
        self.optimizer = RMSprop(config.training.own["rho"])
        self.figures: dict[str, float] = {}
        self._state: tuple[npt.NDArray[Any], ...] | None = None

    def join(self, ranks: ProcessGroup) -> None:
        """See `Learner.join`."""
        raise InputError("--backend numpy trains in one process; start it without torchrun")

    def step(self, batch: Batch, learning_rate: float) -> StepResult:
        """See `Learner.step`."""
        state = self._state
        if batch.fresh or state is None:
            state = self.model.initial_state(batch.inputs.shape[1])
        # Overflow is reported through `StepResult.finite`.
        with np.errstate(all="ignore"):
            loss, gradients, self._state = self.model.loss_and_gradients(
                batch.inputs, batch.targets, state
            )
            norm = clip_by_norm(gradients, self.config.clip_norm or np.inf)
        if self.config.clip_value:
            clip_by_value(gradients, self.config.clip_value)
        result = StepResult(float(loss), {"nll": float(loss)}, norm)
        if result.finite:
            self.optimizer.update(self.model.parameters, gradients, learning_rate)
        return result

    def validate(self, tokens: Ids) -> float:
        """See `Learner.validate`."""
        inputs_TB, targets_TB = evaluation_streams(tokens)
        state = self.model.initial_state(inputs_TB.shape[1])
        total, count = 0.0, 0
        steps = steps_at_a_time(inputs_TB.shape[1], len(self.model.parameters["head.bias"]))
        for begin in range(0, len(inputs_TB), steps):
            chunk = slice(begin, begin + steps)
            scored_TB = targets_TB[chunk] != PADDING
            # The session reports a loss that is not finite.
            with np.errstate(all="ignore"):
                logits_TBV, state, _ = self.model.forward(inputs_TB[chunk], state)
                nats_TB = nll(logits_TBV, np.maximum(targets_TB[chunk], 0))
            total += float(nats_TB[scored_TB].sum())
            count += int(scored_TB.sum())
        return total / count

    def weights(self) -> Arrays:
        """See `Learner.weights`."""
        return {name: array.copy() for name, array in self.model.parameters.items()}

    def load_weights(self, weights: Arrays) -> None:
        """See `Learner.load_weights`."""
        for name, array in self.model.parameters.items():
            array[...] = weights[name]

    def snapshot(self) -> Snapshot:
        """See `Learner.snapshot`."""
        arrays = {f"weights.{name}": array for name, array in self.weights().items()}
        for name, array in self.optimizer.mean_square.items():
            arrays[f"mean_square.{name}"] = array.copy()
        for index, part in enumerate(self._state or ()):
            arrays[f"state.{index}"] = part.copy()
        return Snapshot(arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """See `Learner.restore`."""
        weights = self.weights()
        state = self.model.initial_state(self.config.batch_size)
        snapshot.check(
            {f"weights.{name}": array for name, array in weights.items()},
            {f"mean_square.{name}": array for name, array in weights.items()},
            {f"state.{index}": part for index, part in enumerate(state)},
        )
        parts = snapshot.by_prefix()
        self.load_weights(parts["weights"])
        self.optimizer.mean_square = dict(parts.get("mean_square", {}))
        self._state = tuple(part for _, part in sorted(parts.get("state", {}).items())) or None
