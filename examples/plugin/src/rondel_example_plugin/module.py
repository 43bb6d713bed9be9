"""What the kind of model trains; imported only where a model is made, for it needs PyTorch."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from rondel.data.batches import PADDING
from rondel.models.base import ModelState, TensorBatch
from rondel.models.language_model_module import LanguageModel


class QuietModule(LanguageModel):
    """Adds the last layer's mean square (activation regularisation; Merity et al. 2017)."""

    reported: ClassVar[tuple[str, ...]] = ("nll",)

    def losses(
        self, batch: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """`nll` in nats per token, and `activity`."""
        outputs_TBH, state = self.core(self.embed(batch.inputs), state)
        nll = functional.cross_entropy(
            self.head(outputs_TBH).flatten(0, 1).float(),
            batch.targets.flatten(),
            ignore_index=PADDING,
        )
        weight = self.config.own["example_activity"]
        return {"nll": nll, "activity": weight * outputs_TBH.float().square().mean()}, state
