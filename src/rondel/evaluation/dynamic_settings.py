"""Settings of dynamic evaluation, which `rondel.training.dynamic` runs.

They are here because reading them must not import PyTorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rondel.checked import check_fields
from rondel.errors import InputError

SCALED_RATE, PLAIN_RATE = 3e-4, 0.02


@dataclass(frozen=True)
class DynamicSettings:
    """`segment` tokens are scored before each update with learning rate `rate`.

    `decay` pulls the weights back towards the trained ones. A `rate` of `None` means 0.0003 if
    updates are scaled by the gradients on the training text, and 0.02 without a training text.

    ::

        model.evaluate_dynamically(ids, len(text), DynamicSettings(rate=0.01))
    """

    rate: float | None = None
    decay: float = 1e-3
    segment: int = 20

    def __post_init__(self) -> None:
        check_fields(self)
        if self.rate is not None and not 0 <= self.rate < math.inf:
            raise InputError(f"the rate of dynamic evaluation must be 0 or more, not {self.rate}")
        if not 0 <= self.decay <= 1:
            raise InputError(
                f"the decay of dynamic evaluation must be from 0 to 1, not {self.decay}"
            )
        if self.segment < 1:
            raise InputError(f"a segment has at least 1 token, not {self.segment}")
