"""What a unit does, from -1 to 1, to be coloured."""

from __future__ import annotations

from typing import Any

import numpy as np

from rondel.engine.base import Floats


def largest_of(values: Any) -> float:
    """What counts as 1: 1, or where any is beyond it the largest of all but a hundredth."""
    sizes = np.abs(np.asarray(values, np.float32))
    if sizes.max(initial=0.0) <= 1:
        return 1.0
    return max(float(np.quantile(sizes, 0.99)), 1e-6)


def scaled(values: Any) -> Floats:
    """Values over the largest of all but a hundredth, where any is beyond 1; at most 1."""
    values = np.asarray(values, np.float32)
    clipped: Floats = np.clip(values / np.float32(largest_of(values)), -1, 1)
    return clipped
