"""Every cell, in the engine of an exported model: its logits are Python's, compiled or not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _javascript import export_package, run_exported
from _models import random_model

from rondel.artifact import Artifact
from rondel.cells import cells
from rondel.engine import NumpyEngine, build_engine
from rondel.errors import InputError
from rondel.exporters import web_model
from rondel.text.tokenizers.char import CharTokenizer

CLOSE = 1e-4
CHARACTERS = "abcdefghij"
IDS = [1, 5, 0, 10, 10, 3, 2, 7, 4, 9, 6, 8] * 4
# Sizes that are no multiples of 4, one-hot input, an embedding, and one that is the head's too.
SHAPES: dict[str, dict[str, Any]] = {
    "one-hot": {"hidden": 13},
    "embedding": {"hidden": 18, "embedding": 7, "layers": 2},
    "tied": {"hidden": 21, "embedding": 21, "tied": True, "layers": 3},
}
RUN = [name for name in cells if (web_model.JAVASCRIPT / "cells" / f"{name}.js").is_file()]


def model_of(cell: str, shape: str, nonlinearity: str = "tanh") -> Artifact:
    config, weights = random_model(cell, nonlinearity, **SHAPES[shape])
    return Artifact(config, CharTokenizer("text", CHARACTERS), weights)


def expected_logits(model: Artifact, weights: Any = None) -> np.ndarray[Any, Any]:
    engine = NumpyEngine(model.config, weights or model.weights)
    logits_T1V, _ = engine.sequence(np.array(IDS)[:, None], engine.initial_state())
    return logits_T1V[:, 0]


@pytest.fixture(scope="module")
def logits(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, bool], Any]:
    """Of every cell, its activation and a shape, by WebAssembly and without."""
    home = tmp_path_factory.mktemp("packages")
    keys, jobs = [], []
    for cell, shape, nonlinearity in itertools.product(RUN, SHAPES, ("tanh", "relu")):
        name = f"{cell} {nonlinearity}"
        package = export_package(home / f"{name}-{shape}", model_of(cell, shape, nonlinearity))
        for wasm in (True, False):
            keys.append((name, shape, wasm))
            jobs.append({"package": package, "wasm": wasm, "call": ["logits", IDS]})
    return dict(zip(keys, run_exported(jobs), strict=True))


@pytest.mark.parametrize("wasm", [True, False], ids=["wasm", "plain"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("cell", RUN)
def test_logits_are_pythons(
    logits: dict[tuple[str, str, bool], Any],
    cell: str,
    nonlinearity: str,
    shape: str,
    wasm: bool,
) -> None:
    found = np.array(logits[f"{cell} {nonlinearity}", shape, wasm])
    assert np.abs(found - expected_logits(model_of(cell, shape, nonlinearity))).max() < CLOSE


@pytest.mark.parametrize("cell", cells)
def test_a_cell_without_an_engine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    if cell in RUN:
        monkeypatch.setattr(web_model, "JAVASCRIPT", tmp_path)
    with pytest.raises(InputError, match=f"the cell '{cell}' has no engine in the page"):
        export_package(tmp_path / "package", model_of(cell, "one-hot"))
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("wasm", [True, False], ids=["wasm", "plain"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", RUN)
def test_8_bits_are_those_of_python(tmp_path: Path, cell: str, shape: str, wasm: bool) -> None:
    model = model_of(cell, shape)
    package = export_package(tmp_path / "package", model, "int8")
    (found,) = run_exported([{"package": package, "wasm": wasm, "call": ["logits", IDS]}])
    engine = build_engine(model.config, model.weights, "int8")
    expected_T1V, _ = engine.sequence(np.array(IDS)[:, None], engine.initial_state())
    # Where sums differ in their last bits, an activation may be rounded the other way.
    assert np.abs(np.array(found) - expected_T1V[:, 0]).max() < 5 * CLOSE


def test_half_precision_rounds_the_weights(tmp_path: Path) -> None:
    model = model_of(RUN[0], "embedding")
    package = export_package(tmp_path / "package", model, "fp16")
    (found,) = run_exported([{"package": package, "call": ["logits", IDS]}])
    rounded = {
        name: array.astype(np.float16).astype(np.float32) for name, array in model.weights.items()
    }
    assert np.abs(np.array(found) - expected_logits(model, rounded)).max() < CLOSE
    large = {**model.weights, "head.bias": model.weights["head.bias"] + 1e6}
    with pytest.raises(InputError, match="beyond half precision"):
        export_package(tmp_path / "other", replace(model, weights=large), "fp16")
