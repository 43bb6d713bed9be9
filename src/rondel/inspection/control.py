"""Control models with shuffled weights, which finds must exceed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rondel.engine.base import Floats
from rondel.errors import InputError
from rondel.inspection.features import Feature, features_of
from rondel.inspection.finding import FINDING_TRACKS, Find, find, first_half
from rondel.inspection.stack_tracks import Weights
from rondel.inspection.trace import Trace, reader_of, trace
from rondel.settings import ModelConfig
from rondel.text.tokenizers import Tokenizer

FEW_UNITS = 256


def control_count(config: ModelConfig) -> int:
    """The number of control models: more for small models, whose best unit varies more."""
    return 8 if config.num_layers * config.hidden_size <= FEW_UNITS else 4


def shuffle_weights(config: ModelConfig, weights: Weights, seed: int) -> dict[str, Floats]:
    """Shuffle each array's weights within each gate.

    This keeps the distribution of every gate's weights and removes what they learnt.
    """
    rng = np.random.default_rng(seed)
    reader = reader_of(config)
    shuffled: dict[str, Floats] = {}
    for name, array in weights.items():
        is_layer = "_ih_l" in name or "_hh_l" in name
        parts = np.split(array, reader.gates_of(name)) if is_layer else [array]
        parts = [rng.permutation(part.reshape(-1)).reshape(part.shape) for part in parts]
        shuffled[name] = np.concatenate(parts)
    return shuffled


def find_against_controls(
    config: ModelConfig,
    weights: Weights,
    tokenizer: Tokenizer,
    trained: Trace,
    features: Sequence[Feature] | None = None,
    *,
    tracks: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Find]:
    """Find the units of a model's trace associated with a feature; see `finding.find`.

    `features` default to those of `features_of`. Raises `InputError` for tracks that the trace
    lacks.
    """
    chosen = features_of(trained.text, trained.spans) if features is None else features
    kept = [name for name in tracks or FINDING_TRACKS if name in trained.tracks]
    if not kept:
        raise InputError(f"the trace has none of these tracks, only {', '.join(trained.tracks)}")
    text = trained.text[: int(trained.spans[first_half(len(trained)) - 1, 1])]
    controls = [
        trace(config, shuffle_weights(config, weights, seed + number), tokenizer, text, tracks=kept)
        for number in range(control_count(config))
    ]
    return find(trained, chosen, controls, tracks=kept, seed=seed)
