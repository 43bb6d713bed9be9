"""Whether arrays are those of a model of some shape, whole: as its kind says, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rondel.errors import InputError, ModelFolderError
from rondel.folder_files import array_fault
from rondel.kinds import kind_of
from rondel.settings import ModelConfig

DTYPE = np.dtype(np.float32)
"""Of every array."""

NEEDED = ("model", "cell", "num_layers", "hidden_size", "vocab_size")


def check_is_whole(values: Mapping[str, Any]) -> None:
    """Raise `InputError` if a description leaves out what a model's arrays follow from."""
    for name in NEEDED:
        if values.get(name) is None:
            raise InputError(f"{name} is not said")


def check_arrays(config: ModelConfig, weights: Mapping[str, Any]) -> None:
    """Raise `ModelFolderError` unless `weights` are the arrays of such a model, and no others."""
    known = set()
    # One after the other: a damaged number of layers would make a list of them endless.
    for name, shape in kind_of(config).arrays(config):
        fault = array_fault(weights, name, shape, DTYPE)
        if fault:
            raise ModelFolderError(fault)
        known.add(name)
    foreign = sorted(weights.keys() - known)
    if foreign:
        raise ModelFolderError(f"a {config.model} of this shape has no array {foreign[0]}")
