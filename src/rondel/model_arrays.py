"""Check that a model's arrays are exactly those that its kind and shape require."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rondel.errors import InputError, ModelFolderError
from rondel.folder_files import array_fault
from rondel.kinds import kind_of
from rondel.settings import ModelConfig

DTYPE = np.dtype(np.float32)
"""The type of every array."""

NEEDED = ("model", "cell", "num_layers", "hidden_size", "vocab_size")


def check_is_complete(values: Mapping[str, Any]) -> None:
    """Raise `InputError` if a description lacks a setting that determines the arrays."""
    for name in NEEDED:
        if values.get(name) is None:
            raise InputError(f"{name} is missing")


def check_arrays(config: ModelConfig, weights: Mapping[str, Any]) -> None:
    """Raise `ModelFolderError` unless `weights` are exactly the arrays of the model."""
    known = set()
    # Lazily: a damaged number of layers would give an endless list.
    for name, shape in kind_of(config).arrays(config):
        fault = array_fault(weights, name, shape, DTYPE)
        if fault:
            raise ModelFolderError(fault)
        known.add(name)
    foreign = sorted(weights.keys() - known)
    if foreign:
        raise ModelFolderError(f"a {config.model} of this shape has no array {foreign[0]}")
