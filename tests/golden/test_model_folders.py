"""Model folders that an earlier rondel wrote still open, and say what they said.

`make_models.py` made them, once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _settings import text_config
from make_models import LENGTH, MODELS, PRIME, UNSEEN

import rondel
from rondel.kinds import kind_of
from rondel.models.base import TensorBatch

HERE = Path(__file__).parent
FOLDERS = sorted(path for path in HERE.glob("format-*/*") if path.is_dir())

pytestmark = pytest.mark.parametrize(
    "folder", FOLDERS, ids=[f"{path.parent.name}/{path.name}" for path in FOLDERS]
)


def expected(folder: Path) -> dict[str, Any]:
    every = json.loads((folder.parent / "expected.json").read_text(encoding="utf-8"))
    assert (
        set(every)
        == set(MODELS)
        == {path.name for path in folder.parent.iterdir()} - {"expected.json"}
    )
    result: dict[str, Any] = every[folder.name]
    return result


def test_it_opens_as_what_it_was(folder: Path) -> None:
    model, settings = rondel.load(folder), MODELS[folder.name]
    assert model.tokenizer.level == settings.get("level", text_config().level)
    for name in ("cell", "num_layers", "hidden_size", "embedding_size", "tie_weights", "dropout"):
        if name in settings:
            assert model.config.flat()[name] == settings[name]
    assert model.progress["step"] == expected(folder)["step"]
    opening = model.choose_opening(seed=1)
    assert opening.shown.strip() or (opening.prime and not opening.prime.strip("\n"))


def test_it_writes_what_it_wrote(folder: Path) -> None:
    text = rondel.load(folder).sample(PRIME, length=LENGTH, mode="argmax")
    assert text == expected(folder)["argmax"]


def test_it_finds_a_text_as_likely_as_it_did(folder: Path) -> None:
    then = expected(folder)["evaluation"]
    model = rondel.load(folder)
    figures = model.evaluate(UNSEEN).to_json()
    if model.config.model == "bidirectional":
        figures |= model.evaluate_cloze(UNSEEN).to_json()
    # There may be more figures by now.
    assert {name: figures[name] for name in then} == pytest.approx(then, rel=1e-6, abs=1e-5)


def test_torch_finds_the_same(folder: Path) -> None:
    model = rondel.load(folder)
    module = kind_of(model.config).module(model.config)
    module.load(model.weights)
    module.eval()
    ids = torch.from_numpy(model.tokenizer.encode(UNSEEN).astype(np.int64))[:, None]
    with torch.no_grad():
        terms, _ = module.losses(TensorBatch(ids[:-1], ids[1:]), module.initial_state(1), 0)
    nats = expected(folder)["evaluation"]["nats_per_token"]
    assert float(
        terms["causal" if model.config.model == "bidirectional" else "nll"]
    ) == pytest.approx(nats, abs=1e-5)
