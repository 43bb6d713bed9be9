"""Which columns of a batch a process has, where several share it out.

A model whose loss is a mean over columns needs none of this. One that draws random numbers for
whole columns, or takes a mean before something that is not linear, asks the batch's `Share`, and
then learns the same from a batch that is shared out.

Shapes: T time, B columns of this process, W columns of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Share:
    """All columns of a batch."""

    def normal(self, columns: int, size: int) -> Tensor:
        """Normal noise (B, size), a row for each column of this process."""
        return torch.randn(columns, size)

    def uniform(self, steps: int, columns: int, device: torch.device) -> Tensor:
        """Uniform noise (T, B) from 0 to 1."""
        return torch.rand(steps, columns, 1, device=device)[:, :, 0]

    def mean(self, own: Tensor) -> Tensor:
        """A mean over the whole batch, from that over this process's columns.

        Its gradient is that of `own`: averaged over the processes by their columns, that is right.
        """
        return own


class PartOfBatch(Share):
    """The columns `begin` … `end` of `whole`, for a process among others.

    `generator` is in the same state in all processes, so that each draws for all and takes its own.
    `sum` adds up a tensor over the processes, in place.
    """

    def __init__(
        self,
        begin: int,
        end: int,
        whole: int,
        generator: torch.Generator,
        sum: Callable[[Tensor], None],
    ) -> None:
        self.begin, self.end, self.whole = begin, end, whole
        self._generator, self._sum = generator, sum

    def normal(self, columns: int, size: int) -> Tensor:
        """See `Share.normal`."""
        return torch.randn(self.whole, size, generator=self._generator)[self._columns(columns)]

    def uniform(self, steps: int, columns: int, device: torch.device) -> Tensor:
        """See `Share.uniform`."""
        drawn_TW = torch.rand(steps, self.whole, 1, generator=self._generator)[:, :, 0]
        return drawn_TW[:, self._columns(columns)].to(device)

    def mean(self, own: Tensor) -> Tensor:
        """See `Share.mean`."""
        whole = own.detach() * ((self.end - self.begin) / self.whole)
        self._sum(whole)
        return own + (whole - own.detach())

    def _columns(self, columns: int) -> slice:
        """Those of this process; one that has none reads another's, which does not count."""
        return slice(self.begin, self.begin + columns)


WHOLE = Share()
