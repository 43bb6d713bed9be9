"""The same model with nothing learnt: what finds are to be better than."""

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


def find_against_controls(
    config: ModelConfig,
    weights: Weights,
    tokenizer: Tokenizer,
    learnt: Trace,
    features: Sequence[Feature] | None = None,
    *,
    tracks: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Find]:
    """The units of a model's trace that go with a feature of its text; see `finding.find`.

    The features are those of `features_of`, if none are given. Raises `InputError` for tracks that
    the trace has not.
    """
    chosen = features_of(learnt.text, learnt.spans) if features is None else features
    kept = [name for name in tracks or FINDING_TRACKS if name in learnt.tracks]
    if not kept:
        raise InputError(f"the trace has none of these tracks, only {', '.join(learnt.tracks)}")
    text = learnt.text[: int(learnt.spans[first_half(len(learnt)) - 1, 1])]
    others = [
        trace(config, shuffled(config, weights, seed + number), tokenizer, text, tracks=kept)
        for number in range(controls_of(config))
    ]
    return find(learnt, chosen, others, tracks=kept, seed=seed)
