"""How a model may go on learning from the text it is scored on; `rondel.training.dynamic` does it.

The settings stand here since they are asked for where nothing is trained, and need no PyTorch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rondel.checked import check_fields
from rondel.errors import InputError

SCALED_RATE, PLAIN_RATE = 3e-4, 0.02


@dataclass(frozen=True)
class DynamicSettings:
    """`segment` tokens are scored before each update of size `rate`, drawn back by `decay`.

    A `rate` of `None` is 0.0003 where updates are scaled by the gradients on the training text, and
    0.02 where there is none to scale them by.

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
            raise InputError(f"the decay of dynamic evaluation is from 0 to 1, not {self.decay}")
        if self.segment < 1:
            raise InputError(f"a segment has at least 1 token, not {self.segment}")
