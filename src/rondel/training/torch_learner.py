"""The learner for PyTorch modules of any kind, on a CPU or a GPU."""

from __future__ import annotations

import math
import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rondel.data.batches import PADDING, Batch, evaluation_streams
from rondel.data.document_batches import evaluation_batches
from rondel.data.documents import Documents
from rondel.data.store import Ids
from rondel.folder_files import Arrays, is_count
from rondel.kinds import kind_of
from rondel.models.base import Model, ModelState, TensorBatch
from rondel.settings import RunConfig
from rondel.softmaxes import softmax_of
from rondel.text.tokenizers import Tokenizer
from rondel.training.devices import autocast, choose_device
from rondel.training.distributed import ProcessGroup, communicating
from rondel.training.learner import Snapshot, StepResult, steps_at_a_time
from rondel.training.optimizers import build_optimizer, state_of_optimizer, updates_rows

if TYPE_CHECKING:
    from rondel.training.exchange import Exchange

CUDA_STATE = 16
"""Bytes of the state of a GPU's generator: its seed and its offset."""
RANDOM_OF_PROCESS = re.compile(r"random\.(?P<device>cpu|cuda)\.\d+")
LOOKAHEAD = 64
"""Tokens after a chunk that a model which reads backward is given in validation."""


class TorchLearner:
    """A `Learner` over `torch.nn` modules. See `rondel.training.learner.Learner`.

    It trains the model of the configuration, or `model` if that is given.

    ::

        learner = TorchLearner(config)
        result = learner.step(batch, learning_rate=4e-3)
    """

    def __init__(self, config: RunConfig, model: Model | None = None) -> None:
        training = config.training
        # Set even to the current value: otherwise MKL chooses the number for each call, and the
        # order of its sums changes with it.
        torch.set_num_threads(training.threads or torch.get_num_threads())
        self.config = training
        self.device = choose_device(training.device)
        torch.manual_seed(training.seed)
        self.model = (model or kind_of(config.model).module(config.model)).to(self.device)
        if training.freeze_embedding:
            self.model.named_arrays()["embedding.weight"].requires_grad_(False)
        self.optimizer = build_optimizer(self.model.parameters(), training)
        # The exchange between processes and the scaling of fp16 are for dense gradients.
        if self.device.type == "cpu" and training.precision == "fp32" and updates_rows(training):
            self.model.use_sparse_gradients(True)
        self.updates = 0
        self.figures: dict[str, float] = {}
        # A cluster of rare words without a target in the batch is not trained.
        self.trains_in_parts = not softmax_of(config.model).is_linear
        """Whether some steps train only a part of the model."""
        self._state: ModelState | None = None
        self._exchange: Exchange | None = None
        self._random: dict[str, Tensor] = {}
        autocast(self.device, training.precision)  # refuses what the device cannot do
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=training.precision == "fp16")

    def join(self, ranks: ProcessGroup) -> None:
        """See `Learner.join`."""
        from rondel.training.exchange import Exchange

        self.model.use_sparse_gradients(False)
        exchange = Exchange(self.model, self.config, ranks, self.updates, self.trains_in_parts)
        exchange.set_random_states(self._random)
        if self._state is not None:
            columns = exchange.columns(self.config.batch_size)
            self._state = tuple(part[:, columns].contiguous() for part in self._state)
        self._exchange = exchange

    def step(self, batch: Batch, learning_rate: float) -> StepResult:
        """See `Learner.step`."""
        self.model.train()
        tensors = self._tensors(batch.inputs, batch.targets)._replace(leftward=batch.leftward)
        with autocast(self.device, self.config.precision):
            terms, state = self._losses(tensors, batch.fresh)
            loss = torch.stack(list(terms.values())).sum()
        self._state = tuple(part.detach().float() for part in state)
        self.optimizer.zero_grad(set_to_none=True)
        with communicating() if self._exchange else nullcontext():
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self.optimizer)
        norm = self._clip()
        values = {name: term.item() for name, term in terms.items()}
        if self._exchange is not None:
            values, norm = self._exchange.agreed(values, norm)
        result = StepResult(sum(self.model.reported_terms(values)), values, norm)
        if self._may_update(result):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
            self._scaler.step(self.optimizer)
            self._scaler.update()
            self.updates += 1
            if self._exchange is not None:
                self._exchange.updated()
            # In fp16, gradients are infinite at times; the scaler skips these steps.
            return result if math.isfinite(norm) else result._replace(gradient_norm=0.0)
        return result

    def _reset(self, state: ModelState, fresh_B: npt.NDArray[np.bool_]) -> ModelState:
        """Return a state (L, B, H) with zeros where a document begins."""
        kept_B1 = torch.from_numpy(~fresh_B[:, None]).to(self.device)
        return tuple(torch.where(kept_B1, part, 0.0) for part in state)

    def _losses(
        self, batch: TensorBatch, fresh: bool | npt.NDArray[np.bool_]
    ) -> tuple[dict[str, Tensor], ModelState]:
        """Return the terms of a batch, or of this process's part of it, and the state after it."""
        part = batch if self._exchange is None else self._exchange.part(batch)
        state = self._state
        if fresh is True or state is None:
            state = self.model.initial_state(part.inputs.shape[1])
        elif fresh is not False:
            own = slice(None) if self._exchange is None else self._exchange.columns(len(fresh))
            state = self._reset(state, fresh[own])
        if self._exchange is None:
            return self.model.losses(part, state, self.updates)
        return self._exchange.losses(batch, part, state, self.updates)

    def _may_update(self, result: StepResult) -> bool:
        return result.finite or (self._scaler.is_enabled() and math.isfinite(result.loss))

    def _clip(self) -> float:
        """Clip the gradients as configured; return their norm before that."""
        dense, gradients, rows = [], [], []
        for parameter in self.model.parameters():
            gradient = parameter.grad
            if gradient is not None and gradient.is_sparse:
                parameter.grad = gradient.coalesce()  # each row once, in its own memory
                rows.append(parameter.grad.values())
            elif gradient is not None:
                dense.append(parameter)
                gradients.append(gradient)
        total = nn.utils.get_total_norm([*gradients, *rows])
        norm = float(total)
        # Most steps are below the limit and need no multiplication.
        if self.config.clip_norm and not norm <= self.config.clip_norm:
            nn.utils.clip_grads_with_norm_(dense, self.config.clip_norm, total)
            for values in rows:
                values.mul_(self.config.clip_norm / (norm + 1e-6))
        if self.config.clip_value:
            limit = self.config.clip_value
            nn.utils.clip_grad_value_(dense, limit)
            for values in rows:
                values.clamp_(-limit, limit)
        return norm

    @torch.no_grad()
    def validate(self, tokens: Ids) -> float:
        """See `Learner.validate`; several processes divide the streams among them."""
        self.model.eval()
        inputs_TB, targets_TB = evaluation_streams(tokens)
        if self._exchange is None:
            total, count = self._total_loss(inputs_TB, targets_TB)
            return total / count
        self._exchange.align()
        own = slice(*self._exchange.bounds(inputs_TB.shape[1]))
        parts = [np.ascontiguousarray(ids_TB[:, own]) for ids_TB in (inputs_TB, targets_TB)]
        total, count = self._exchange.ranks.sum(self._total_loss(*parts))
        return total / count

    def _total_loss(self, inputs_TB: Ids, targets_TB: Ids) -> tuple[float, float]:
        """Return the loss summed over streams, and the number of tokens scored."""
        if not inputs_TB.size:
            return 0.0, 0
        state = self.model.initial_state(inputs_TB.shape[1])
        total, count = 0.0, 0
        steps = steps_at_a_time(inputs_TB.shape[1], self.model.config.vocab_size)
        for begin in range(0, len(inputs_TB), steps):
            chunk = slice(begin, begin + steps)
            scored = int((targets_TB[chunk] != PADDING).sum())
            tensors = self._tensors(inputs_TB[chunk], targets_TB[chunk])
            following_RB = inputs_TB[chunk.stop : chunk.stop + LOOKAHEAD]
            if len(following_RB):
                following = torch.from_numpy(following_RB).to(self.device)
                tensors = tensors._replace(following=following)
            with autocast(self.device, self.config.precision):
                terms, state = self.model.losses(tensors, state, self.updates)
            if scored:
                total += scored * float(torch.stack(self.model.reported_terms(terms)).sum())
            count += scored
        return total, count

    @torch.no_grad()
    def validate_documents(self, documents: Documents) -> float:
        """See `Learner.validate_documents`; of several processes, only the first does it."""
        self.model.eval()
        if self._exchange is None:
            total, count = self._total_of_documents(documents)
            return total / count
        self._exchange.align()
        ranks = self._exchange.ranks
        total, count = ranks.sum(self._total_of_documents(documents) if ranks.is_first else (0, 0))
        return total / count

    def _total_of_documents(self, documents: Documents) -> tuple[float, float]:
        """Return the loss summed over documents, and the number of tokens scored."""
        total, count = 0.0, 0
        state: ModelState = ()
        for batch in evaluation_batches(documents):
            fresh = batch.fresh
            if isinstance(fresh, bool):
                state = self.model.initial_state(batch.inputs.shape[1])
            else:
                state = self._reset(state, fresh)
            scored = int((batch.targets != PADDING).sum())
            tensors = self._tensors(batch.inputs, batch.targets)
            with autocast(self.device, self.config.precision):
                terms, state = self.model.losses(tensors, state, self.updates)
            total += scored * float(torch.stack(self.model.reported_terms(terms)).sum())
            count += scored
        return total, count

    def weights(self) -> Arrays:
        """See `Learner.weights`."""
        return dict(self.model.export())

    def load_weights(self, weights: Arrays) -> None:
        """See `Learner.load_weights`."""
        self.model.load(weights)

    def snapshot(self) -> Snapshot:
        """See `Learner.snapshot`: it has the streams and random states of all processes."""
        state, random = self._state or (), {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        if self._exchange is not None:
            self._exchange.align()
            state = self._exchange.whole_state(state, self.config.batch_size)
            random = self._exchange.random_states()
        arrays = {f"weights.{name}": array for name, array in self.weights().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                arrays[f"optimizer.{index}.{key}"] = _array(value)
        arrays |= {f"state.{index}": _array(part) for index, part in enumerate(state)}
        arrays |= {f"random.{name}": _array(part) for name, part in random.items()}
        return Snapshot(arrays, {"updates": self.updates, "scaler": self._scaler.state_dict()})

    def restore(self, snapshot: Snapshot) -> None:
        """See `Learner.restore`."""
        snapshot.check(*self._arrays_of_a_snapshot(), *_arrays_of_processes(snapshot))
        if not is_count(snapshot.values["updates"]):
            raise ValueError(f"updates is {snapshot.values['updates']!r}")
        parts = snapshot.by_prefix()
        self.model.load(parts["weights"])
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for name, array in parts.get("optimizer", {}).items():
            index, key = name.split(".", 1)
            optimizer["state"].setdefault(int(index), {})[key] = _tensor(array)
        self.optimizer.load_state_dict(optimizer)
        state = [
            _tensor(part).to(self.device) for _, part in sorted(parts.get("state", {}).items())
        ]
        self._state = tuple(state) or None
        self.updates = snapshot.values["updates"]
        self._scaler.load_state_dict(snapshot.values["scaler"])
        self._random = {name: _tensor(array) for name, array in parts["random"].items()}
        try:
            torch.set_rng_state(self._random["cpu"])
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        if self.device.type == "cuda" and "cuda" in self._random:
            torch.cuda.set_rng_state(self._random["cuda"], self.device)

    def _arrays_of_a_snapshot(self) -> list[Arrays]:
        """Return the groups of arrays in a snapshot of this learner, for `Snapshot.check`.

        Only the names, shapes and types of these arrays matter.
        """
        state = self.model.initial_state(self.config.batch_size)
        optimizer = state_of_optimizer(self.config)
        whole = {f"weights.{name}": array for name, array in self.weights().items()}
        whole["random.cpu"] = _array(torch.get_rng_state())
        groups = [whole, {f"state.{index}": _array(part) for index, part in enumerate(state)}]
        groups.append({"random.cuda": np.empty(CUDA_STATE, np.uint8)})
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        for index, parameter in enumerate(trained):
            like = _array(parameter)
            groups.append(
                {
                    f"optimizer.{index}.{key}": like if value.dim() else _array(value)
                    for key, value in optimizer.items()
                }
            )
        return groups

    def _tensors(self, inputs_TB: Ids, targets_TB: Ids) -> TensorBatch:
        return TensorBatch(
            torch.from_numpy(inputs_TB).to(self.device),
            torch.from_numpy(targets_TB).to(self.device),
        )


def _arrays_of_processes(snapshot: Snapshot) -> list[Arrays]:
    """Return the generator states of several processes, if a snapshot has them."""
    sizes = {"cpu": torch.get_rng_state().numel(), "cuda": CUDA_STATE}
    groups: list[Arrays] = []
    for name in snapshot.arrays:
        if found := RANDOM_OF_PROCESS.fullmatch(name):
            groups.append({name: np.empty(sizes[found["device"]], np.uint8)})
    return groups


def build_learner(config: RunConfig, tokenizer: Tokenizer) -> TorchLearner:
    """Build the learner of a model that depends only on the settings."""
    return TorchLearner(config)


def _array(tensor: Any) -> npt.NDArray[Any]:
    return np.array(torch.as_tensor(tensor).detach().cpu().numpy())


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    """Copy into PyTorch's memory, because the last bits of a matmul depend on the alignment."""
    return torch.from_numpy(array).clone()
