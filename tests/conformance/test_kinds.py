"""Every registered kind of model: a tiny run of it, its folder, its end in the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import assert_same_arrays, rondel, train
from _settings import others

import rondel as public
from rondel import artifact
from rondel.kinds import kind_of, kinds
from rondel.training.run import Run

TINY: dict[str, Any] = {
    "hidden_size": 12,
    "embedding_size": 8,
    "dropout": 0.1,
    "batch_size": 4,
    "seq_length": 16,
    "learning_rate": 0.02,
    "schedule": "constant",
    "eval_every": 8,
    "device": "cpu",
    "threads": 1,
}
every_kind = pytest.mark.parametrize("kind", kinds)
Trained = Callable[[str], Run]


@pytest.fixture(scope="module")
def lines(coffee: str) -> str:
    """Sentences, one a line, as some kinds need them."""
    return coffee[:8000].replace(". ", ".\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, lines: str) -> Trained:
    """A run of sixteen steps of each kind, made when it is first asked for; to be read only."""
    runs: dict[str, Run] = {}

    def run_of(kind: str) -> Run:
        if kind not in runs:
            folder = tmp_path_factory.mktemp("kinds") / kind
            runs[kind] = train(folder, lines, model=kind, steps=16, **TINY)
        return runs[kind]

    return run_of


@every_kind
def test_it_learns_and_is_judged_by_a_loss_with_a_name_and_a_unit(
    kind: str, trained: Trained
) -> None:
    run, it = trained(kind), kinds[kind]
    assert it.name == kind == run.config.model.model
    for words in (it.noun, it.loss_name, it.loss_unit("token"), it.loss_note("token")):
        assert words.strip() == words != ""
    untrained = it.learner(run.config, run.tokenizer)
    validation = run.store.tokens("validation")
    assert run.learner.validate(validation) < untrained.validate(validation)


@every_kind
def test_its_folder_is_the_model(kind: str, trained: Trained, tmp_path: Path) -> None:
    run = trained(kind)
    model = public.load(run.folder)
    assert kind_of(model.config) is kinds[kind]
    assert_same_arrays(model.weights, run.learner.weights())
    shapes = {name: array.shape for name, array in model.weights.items()}
    assert shapes == dict(kinds[kind].arrays(model.config))
    model.save(tmp_path / "saved")
    assert_same_arrays(public.load(tmp_path / "saved").weights, model.weights)
    assert json.loads((run.folder / "model.json").read_text())["config"]["model"] == kind


@every_kind
def test_a_resumed_run_is_the_run(kind: str, trained: Trained, lines: str, tmp_path: Path) -> None:
    train(tmp_path / "run", lines, model=kind, steps=8, **TINY)
    public.resume(tmp_path / "run", steps=16, quiet=True)
    ours, theirs = artifact.load(tmp_path / "run"), artifact.load(trained(kind).folder)
    assert_same_arrays(ours.weights, theirs.weights)
    assert ours.progress["val_loss"] == theirs.progress["val_loss"]


@every_kind
def test_it_shows_what_it_writes(kind: str, trained: Trained) -> None:
    model = trained(kind).model()
    samples = [kinds[kind].show_sample(model, seed, 3) for seed in (5, 5, 6)]
    assert samples[0].strip() != ""
    assert samples[0] == samples[1] != samples[2]


@every_kind
def test_commands_take_it(kind: str, trained: Trained) -> None:
    folder, noun = trained(kind).folder, trained(kind).tokenizer.token_noun
    assert kinds[kind].loss_note(noun) in rondel("show", folder).stdout
    written = [rondel("sample", folder, "--seed", 3, "--length", 40).stdout for _ in range(2)]
    assert written[0] == written[1]
    assert written[0].strip()


def own_settings(kind: str) -> dict[str, Any]:
    classes = (kinds[kind].model_settings, kinds[kind].training_settings)
    return {name: value for cls in classes if cls for name, value in others(cls)}


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [(kind, *pair) for kind in kinds for pair in own_settings(kind).items()],
)
def test_a_setting_of_its_own_has_an_effect(
    kind: str, setting: str, value: Any, trained: Trained, lines: str, tmp_path: Path
) -> None:
    run = train(tmp_path / "run", lines, model=kind, steps=16, **TINY, **{setting: value})
    usual, changed = trained(kind), artifact.load(run.folder)
    same = all(
        np.array_equal(array, changed.weights.get(name))
        for name, array in usual.learner.weights().items()
    )
    assert not same or run.figures.keys() != usual.figures.keys()
