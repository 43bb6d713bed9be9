"""The arrays of each kind of model are those of its module, and a folder has no others."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import configured, variants
from _settings import others

from rondel import artifact
from rondel.artifact import Artifact
from rondel.errors import ModelFolderError
from rondel.kinds import kind_of, kinds
from rondel.model_arrays import check_arrays
from rondel.settings import ModelConfig
from rondel.text.tokenizers.char import CharTokenizer

CHARACTERS = "\n abcdefgh"
VOCAB_SIZE = len(CHARACTERS) + 1
COMMON: list[dict[str, Any]] = [
    {},
    {"embedding_size": 0},
    {"tie_weights": True, "embedding_size": 6},
]


def own_options(kind: str) -> Iterator[dict[str, Any]]:
    """Each setting of the kind's own, with another value than its default, and all together."""
    cls = kinds[kind].model_settings
    together = dict(others(cls)) if cls else {}
    for name, own in together.items():
        yield {name: own}
    yield together


def configs(kind: str) -> Iterator[ModelConfig]:
    options = [*COMMON, *own_options(kind)]
    for (cell, nonlinearity), layers, own in itertools.product(variants(), (1, 2), options):
        shape = {"tie_weights": False, "hidden_size": 6, "embedding_size": 4, **own}
        yield configured(
            VOCAB_SIZE, model=kind, cell=cell, nonlinearity=nonlinearity, num_layers=layers,
            dropout=0.0, embedding_dropout=0.0, **shape,
        ).model  # fmt: skip


every_kind = pytest.mark.parametrize("kind", kinds)


def random_weights(config: ModelConfig) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in kind_of(config).arrays(config)
    }


@every_kind
def test_a_model_has_exactly_the_arrays_of_its_kind(kind: str) -> None:
    for config in configs(kind):
        module = kinds[kind].module(config)
        found = {name: tuple(array.shape) for name, array in module.named_arrays().items()}
        assert dict(kinds[kind].arrays(config)) == found, config
        check_arrays(config, module.export())


@every_kind
def test_no_array_may_be_missing_added_or_of_another_shape_or_type(
    kind: str, tmp_path: Path
) -> None:
    config = next(configs(kind))
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


def test_an_absurdly_large_shape_is_refused_at_once() -> None:
    config = next(configs("language-model"))
    weights = random_weights(config)
    for change in ({"hidden_size": 2**62}, {"vocab_size": 10**18}):
        with pytest.raises(ModelFolderError, match="the array"):
            check_arrays(dataclasses.replace(config, **change), weights)
