"""Scale a unit's values to -1 … 1, for colouring."""

from __future__ import annotations

from typing import Any

import numpy as np

from rondel.engine.base import Floats


def full_scale(values: Any) -> float:
    """The value drawn in full colour: 1, or the 99th percentile of |values| if any exceeds 1."""
    sizes = np.abs(np.asarray(values, np.float32))
    if sizes.max(initial=0.0) <= 1:
        return 1.0
    return max(float(np.quantile(sizes, 0.99)), 1e-6)


def scaled(values: Any) -> Floats:
    """Values divided by their `full_scale`, clipped to -1 … 1."""
    values = np.asarray(values, np.float32)
    clipped: Floats = np.clip(values / np.float32(full_scale(values)), -1, 1)
    return clipped
