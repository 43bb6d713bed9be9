"""What a unit does, from -1 to 1, to be coloured."""

from __future__ import annotations

from typing import Any

import numpy as np

from rondel.engine.base import Floats


def scaled(values: Any) -> Floats:
    """Values over the largest of all but a hundredth, where any is beyond 1; at most 1."""
    values = np.asarray(values, np.float32)
    largest = float(np.quantile(np.abs(values), 0.99)) if values.size else 0.0
    if np.abs(values).max(initial=0.0) > 1:
        values = values / max(largest, 1e-6)
    clipped: Floats = np.clip(values, -1, 1)
    return clipped
