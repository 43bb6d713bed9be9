"""What processes that train together exchange in a step: mainly gradients.

PyTorch's DistributedDataParallel averages the gradients (Li et al., "PyTorch Distributed", VLDB
2020), whole or as `--exchange` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import (
    PostLocalSGDState,
    post_localSGD_hook,
)
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import (
    PowerSGDState,
    powerSGD_hook,
)
from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from torch.distributed.algorithms.model_averaging.utils import average_parameters
from torch.nn.parallel import DistributedDataParallel

from rondel.errors import InputError
from rondel.models.base import Model, ModelState, TensorBatch
from rondel.nn.shares import PartOfBatch
from rondel.settings import TrainingConfig
from rondel.training.distributed import ProcessGroup, communicating

CPU, GPU = "cpu", "cuda"


class Exchange:
    """One process's share of the training steps.

    Each process has its columns of every batch and its random numbers for dropout; numbers drawn
    for whole columns are the same in all processes. `updates` is how many steps were made before;
    `in_parts` says that some steps train only a part of the model.
    """

    def __init__(
        self,
        model: Model,
        config: TrainingConfig,
        ranks: ProcessGroup,
        updates: int,
        in_parts: bool,
    ) -> None:
        device = next(model.parameters()).device
        _check_device(device, ranks)
        self.model, self.config, self.ranks, self.device = model, config, ranks, device
        self.in_parts = in_parts
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._parallel: DistributedDataParallel | None = None
        self._averager: PeriodicModelAverager | None = None
        self._begun_at = updates
        # The generator that a single process would use.
        self.common = torch.Generator()
        self.common.set_state(torch.get_rng_state())
        seeds = np.random.SeedSequence([config.seed, updates, ranks.rank])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))

    def columns(self, whole: int) -> slice:
        """Return this process's columns of `whole`; another's if there are too few for it."""
        begin, end = self.bounds(whole)
        begin = min(begin, whole - 1)
        return slice(begin, max(end, begin + 1))

    def part(self, batch: TensorBatch) -> TensorBatch:
        """Return this process's columns of a batch."""
        whole = batch.inputs.shape[1]
        own = self.columns(whole)
        begin, end = self.bounds(whole)
        share = PartOfBatch(
            own.start, own.start + end - begin, whole, self.common, self.ranks.add_up
        )
        leftward = max(0, own.stop - max(own.start, whole - batch.leftward))
        return TensorBatch(
            batch.inputs[:, own].contiguous(),
            batch.targets[:, own].contiguous(),
            leftward=leftward,
            share=share,
        )

    def losses(
        self, whole: TensorBatch, part: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """Return `Model.losses` of a part, scaled so that the processes' mean is the batch's."""
        if self._parallel is None:
            self._parallel = self._prepared(whole, part, state, step)
        with communicating():
            result: tuple[dict[str, Tensor], ModelState] = self._parallel(whole, part, state, step)
        return result

    def agreed(self, terms: dict[str, float], norm: float) -> tuple[dict[str, float], float]:
        """Return the terms of the whole batch and the gradients' norm, equal in all processes."""
        *means, norm = (each / self.ranks.size for each in self.ranks.sum([*terms.values(), norm]))
        return dict(zip(terms, means, strict=True)), norm

    def updated(self) -> None:
        """After an update, with `--exchange local`: average the weights, if it is time."""
        if self._averager is not None:
            with communicating():
                self._averager.average_parameters(iter(self.model.parameters()))

    def align(self) -> None:
        """With `--exchange local`, average the weights now, to measure or save them."""
        if self._averager is not None:
            with communicating():
                average_parameters(iter(self.model.parameters()), self._averager.process_group)

    def whole_state(self, state: ModelState, columns: int) -> ModelState:
        """Return the state of the streams of all processes, in order."""
        joined = []
        begin, end = self.bounds(columns)
        for part in state:
            # Summed as integers, because a float sum with zeros would change -0.0 to 0.0.
            whole = torch.zeros(part.shape[0], columns, *part.shape[2:], dtype=torch.int32)
            own = part.detach()[:, : end - begin].cpu().contiguous()
            whole[:, begin:end] = own.view(torch.int32)
            self.ranks.add_up(whole)
            joined.append(whole.view(torch.float32))
        return tuple(joined)

    def random_states(self) -> dict[str, Tensor]:
        """Return the states of the common generator and of those of each process."""
        states = {CPU: self.common.get_state()}
        own = {CPU: torch.get_rng_state()}
        if self.device.type == GPU:
            own[GPU] = torch.cuda.get_rng_state(self.device)
        for device, state in own.items():
            of_all = self.ranks.gather(state)
            states |= {f"{device}.{rank}": each for rank, each in enumerate(of_all)}
        return states

    def set_random_states(self, states: dict[str, Tensor]) -> None:
        """Restore `random_states`, if they are of the same number of processes."""
        if sum(name.startswith(f"{CPU}.") for name in states) == self.ranks.size:
            torch.set_rng_state(states[f"{CPU}.{self.ranks.rank}"])
            if self.device.type == GPU and f"{GPU}.{self.ranks.rank}" in states:
                torch.cuda.set_rng_state(states[f"{GPU}.{self.ranks.rank}"], self.device)

    def bounds(self, whole: int) -> tuple[int, int]:
        """Return the first of this process's columns of `whole`, and the one after its last."""
        rank, size = self.ranks.rank, self.ranks.size
        return whole * rank // size, whole * (rank + 1) // size

    def _prepared(
        self, whole: TensorBatch, part: TensorBatch, state: ModelState, step: int
    ) -> DistributedDataParallel:
        """Wrap the model so that gradients are averaged, after a rehearsal of the first step.

        PyTorch regroups the gradients after its first step, which changes the order of sums. After
        the rehearsal, a resumed run sums in the same order as one that never stopped.
        """
        frozen = [parameter for parameter in self._trained if not parameter.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        common = self.common.get_state()
        with torch.random.fork_rng():
            self._rehearse(self.model.losses, part, state, step)
            unused = self.in_parts or any(p.grad is None for p in self._trained)
            parallel = DistributedDataParallel(
                _Means(self.model, self.ranks.size),
                gradient_as_bucket_view=True,
                find_unused_parameters=self.ranks.sum([unused])[0] > 0,
            )
            self._rehearse(parallel, whole, part, state, step)
        self.common.set_state(common)
        for parameter in frozen:
            parameter.requires_grad_(False)
        self._choose(parallel)
        return parallel

    def _rehearse(self, losses: Any, *arguments: Any) -> None:
        """Compute the gradients and ignore them."""
        for parameter in self._trained:
            parameter.grad = None
        with communicating():
            torch.stack(list(losses(*arguments)[0].values())).sum().backward()  # type: ignore[no-untyped-call]

    def _choose(self, parallel: DistributedDataParallel) -> None:
        """Set how gradients are exchanged: see `--exchange`."""
        config = self.config
        if config.exchange == "fp16":
            parallel.register_comm_hook(None, default_hooks.fp16_compress_hook)
        elif config.exchange == "powersgd":
            state = PowerSGDState(
                None,
                matrix_approximation_rank=config.powersgd_rank,
                start_powerSGD_iter=max(2, config.full_steps),
                random_seed=config.seed % 2**32,
            )
            state.iter = self._begun_at
            parallel.register_comm_hook(state, powerSGD_hook)
        elif config.exchange == "local":
            group, size = self._machine()
            local = PostLocalSGDState(  # type: ignore[no-untyped-call]
                None, group, config.full_steps, post_local_gradient_allreduce=size > 1
            )
            local.iter = self._begun_at
            parallel.register_comm_hook(local, post_localSGD_hook)
            self._averager = PeriodicModelAverager(config.local_steps, config.full_steps)
            self._averager.step = self._begun_at

    def _machine(self) -> tuple[Any, int]:
        """Return the group, and its size, that averages in every step: this machine's processes.

        Each process alone if there is only one machine, or if machines have different numbers.
        """
        sizes = set(self.ranks.gather_values(self.ranks.here))
        size = sizes.pop() if len(sizes) == 1 else 1
        size = size if size < self.ranks.size else 1
        return dist.new_subgroups(size)[0], size  # type: ignore[no-untyped-call]


class _Means(nn.Module):
    """A model's loss terms, weighted so that their mean over processes is that over all columns."""

    def __init__(self, model: Model, processes: int) -> None:
        super().__init__()
        self.model, self.processes = model, processes

    def forward(
        self, whole: TensorBatch, part: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        terms, state = self.model.losses(part, state, step)
        weights = {name: self._weight(name, whole, part) for name in terms}
        # A mean over no tokens is NaN.
        return {
            name: term * weights[name] if weights[name] else torch.nan_to_num(term) * 0.0
            for name, term in terms.items()
        }, state

    def _weight(self, term: str, whole: TensorBatch, part: TensorBatch) -> float:
        assert isinstance(part.share, PartOfBatch)
        if part.share.begin == part.share.end:
            return 0.0
        own = self.model.count(term, part.targets, part.leftward)
        every = self.model.count(term, whole.targets, whole.leftward)
        return self.processes * own / max(every, 1)


def _check_device(device: torch.device, ranks: ProcessGroup) -> None:
    if device.type == "mps":
        raise InputError("--device mps trains in one process; use --device cpu, or no torchrun")
    if device.type == GPU and ranks.number_here >= torch.cuda.device_count():
        raise InputError(
            f"process {ranks.number_here} of this machine has no GPU of its own (there are "
            f"{torch.cuda.device_count()}); start fewer processes, or use --device cpu"
        )
