"""Each kind of model says its arrays, and they are those of its module; a folder has no others."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import configured, variants

from rondel import artifact
from rondel.artifact import Artifact
from rondel.config import ModelConfig
from rondel.errors import ModelFolderError
from rondel.model_arrays import KINDS, arrays_of, check_arrays
from rondel.models import models
from rondel.text.tokenizers.char import CharTokenizer

CHARACTERS = "\n abcdefgh"
VOCAB_SIZE = len(CHARACTERS) + 1
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "language-model": [
        {},
        {"embedding_size": 0},
        {"tie_weights": True, "embedding_size": 6},
    ],
    "sentence-vae": [
        {},
        {"latent_input": True, "embedding_size": 0},
        {"encoder_bidirectional": True, "encoder_cell": "gru", "encoder_layers": 3},
        {"encoder_hidden_size": 5, "latent_input": True},
        {"tie_weights": True, "embedding_size": 6},
    ],
}
OPTIONS["bidirectional"] = OPTIONS["language-model"]


def configs() -> Iterator[ModelConfig]:
    for kind, options in OPTIONS.items():
        for (cell, nonlinearity), layers, own in itertools.product(variants(), (1, 2), options):
            shape = {"tie_weights": False, "hidden_size": 6, "embedding_size": 4, **own}
            if kind == "sentence-vae":
                shape |= {"latent_size": 3}
            yield configured(
                VOCAB_SIZE, model=kind, cell=cell, nonlinearity=nonlinearity, num_layers=layers,
                dropout=0.0, embedding_dropout=0.0, **shape,
            ).model  # fmt: skip


def random_weights(config: ModelConfig) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in arrays_of(config)}


def test_every_kind_says_its_arrays() -> None:
    assert set(KINDS) == set(models) == set(OPTIONS)


def test_a_model_has_the_arrays_that_its_kind_says() -> None:
    for config in configs():
        module = models[config.model](config)
        found = {name: tuple(array.shape) for name, array in module.named_arrays().items()}
        assert dict(arrays_of(config)) == found, config
        check_arrays(config, module.export())


@pytest.mark.parametrize("kind", KINDS)
def test_no_array_may_be_missing_added_or_of_another_shape_or_type(
    kind: str, tmp_path: Path
) -> None:
    config = next(config for config in configs() if config.model == kind)
    weights = random_weights(config)
    tokenizer = CharTokenizer("text", CHARACTERS)
    artifact.save(tmp_path / "whole", Artifact(config, tokenizer, weights))
    for name, array in weights.items():
        for spoilt in (
            None,
            array[:1],
            array[..., :1],
            array[None],
            array.T if array.ndim > 1 and array.shape[0] != array.shape[1] else array[:0],
            array.astype(np.float64),
            array.astype(np.float16),
        ):
            changed = {**weights, name: spoilt}
            if spoilt is None:
                del changed[name]
            with pytest.raises(ModelFolderError, match=f"the array {name} is"):
                check_arrays(config, changed)
    extra = {**weights, "core.weight_hh_l9": weights["head.bias"]}
    # Sealed as rondel seals them: the sums are right, and the arrays are not.
    artifact.write_weights(tmp_path / "whole", Artifact(config, tokenizer, extra))
    with pytest.raises(ModelFolderError, match=r"has no array core\.weight_hh_l9"):
        artifact.load(tmp_path / "whole")


def test_a_shape_beyond_all_bounds_is_refused_at_once() -> None:
    config = next(configs())
    weights = random_weights(config)
    for change in ({"num_layers": 10**18}, {"hidden_size": 10**400}, {"vocab_size": 10**18}):
        with pytest.raises(ModelFolderError, match="the array"):
            check_arrays(dataclasses.replace(config, **change), weights)
