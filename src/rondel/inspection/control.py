"""The same model with nothing learnt: what finds are to be better than."""

from __future__ import annotations

import numpy as np

from rondel.engine.base import Floats
from rondel.inspection.stack_tracks import Weights
from rondel.inspection.trace import reader_of
from rondel.settings import ModelConfig

SMALL = 256


def controls_of(config: ModelConfig) -> int:
    """How many to hold finds against: the best of few units varies more than the best of many."""
    return 8 if config.num_layers * config.hidden_size <= SMALL else 4


def shuffled(config: ModelConfig, weights: Weights, seed: int) -> dict[str, Floats]:
    """A model's weights, the numbers of each array put into another order, gate by gate.

    So they are as large as they were, and a gate as open as it was; what they had learnt is gone.
    """
    rng = np.random.default_rng(seed)
    reader = reader_of(config)
    found: dict[str, Floats] = {}
    for name, array in weights.items():
        is_layer = "_ih_l" in name or "_hh_l" in name
        parts = np.split(array, reader.gates_of(name)) if is_layer else [array]
        mixed = [rng.permutation(part.reshape(-1)).reshape(part.shape) for part in parts]
        found[name] = np.concatenate(mixed)
    return found
