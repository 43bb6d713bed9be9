"""Small runs, made as the commands make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _settings import model_config
from click.testing import CliRunner, Result

from rondel.cells import build_cell, cells
from rondel.cli import cli
from rondel.data.batches import Batch, Cursor, stream_batches
from rondel.data.facts import TextFacts
from rondel.engine import NumpyEngine
from rondel.engine.kernel_lookup import has_kernel
from rondel.settings import RunConfig, Settings
from rondel.settings.fields import settings_of
from rondel.training.learner import Learner
from rondel.training.loop import fit
from rondel.training.numpy_learner import reference_cells
from rondel.training.resolve import resolve
from rondel.training.run import Run
from rondel.training.snapshots import read_snapshot, write_snapshot
from rondel.training.start import begin, configure
from rondel.training.warm_start import warm_start_from

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "embedding_size": 8,
    "batch_size": 4,
    "seq_length": 16,
    "steps": 20,
    "eval_every": 20,
    "device": "cpu",
    "threads": 1,
}


def had(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without a nonlinearity that the cell has not: see `variants`."""
    if "nonlinearity" in settings_of(cells[settings.get("cell", "lstm")]):
        return settings
    return {name: value for name, value in settings.items() if name != "nonlinearity"}


def start(
    folder: Path,
    text: str,
    init_from: Path | None = None,
    word_vectors: Path | None = None,
    **settings: Any,
) -> Run:
    """A run about to take its first step; what `settings` do not say is small."""
    warm_start = warm_start_from(init_from, word_vectors)
    small = {k: v for k, v in SMALL.items() if not (warm_start and k in warm_start.fixed({}))}
    config = configure(had({**small, **settings}), warm_start=warm_start)
    return begin(text, config, folder, warm_start=warm_start)


def train(folder: Path, text: str, callbacks: tuple[Any, ...] = (), **settings: Any) -> Run:
    """A run that is over."""
    run = start(folder, text, **settings)
    run.callbacks = callbacks
    fit(run)
    return run


def configured(vocab_size: int, **settings: Any) -> RunConfig:
    """The resolved configuration of a small model over so many tokens."""
    return resolve(Settings(had({**SMALL, **settings})), TextFacts(vocab_size, train=10**6))


def batches_of(tokens: np.ndarray, config: RunConfig, count: int, skip: int = 0) -> list[Batch]:
    """The first `count` batches after `skip` of them."""
    training = config.training
    stream = stream_batches(tokens, training.batch_size, training.seq_length, Cursor())
    return [next(stream)[0] for _ in range(skip + count)][skip:]


def logits_of(model: Any, text: str) -> np.ndarray:
    """The engine's logits (T, V) after each token of a text."""
    engine = NumpyEngine(model.config, model.weights)
    ids = model.tokenizer.encode(text)
    return engine.sequence(ids[:, None], engine.initial_state())[0][:, 0]


def rondel(*arguments: object, stdin: str | None = None) -> Result:
    """A command in this process; what it refuses is raised."""
    return CliRunner().invoke(
        cli, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False
    )


Rondel = Callable[..., Result]


def variants() -> Iterator[tuple[str, str]]:
    """Every registered cell by name, with each nonlinearity that it has a choice of."""
    for name, cls in cells.items():
        fields = settings_of(cls)
        for nonlinearity in ("tanh", "relu") if "nonlinearity" in fields else ("tanh",):
            yield name, nonlinearity


def with_reference() -> list[tuple[str, str]]:
    """Those variants that `rondel.reference` has too."""
    return [variant for variant in variants() if variant[0] in reference_cells()]


def with_kernel() -> list[tuple[str, str]]:
    """Those variants whose steps are compiled."""
    return [
        (name, nonlinearity)
        for name, nonlinearity in variants()
        if has_kernel(build_cell(model_config(cell=name, nonlinearity=nonlinearity)))
    ]


def goes_on_from_a_snapshot(
    config: RunConfig, build: Callable[[RunConfig], Learner], tokens: np.ndarray, folder: Path
) -> None:
    """Check that a learner restored from its snapshot ends in the bits of one that never stopped.

    `tokens` are those of a text of a few batches.
    """
    learner = build(config)
    for batch in batches_of(tokens, config, 5):
        learner.step(batch, 0.01)
    write_snapshot(folder / "at.safetensors", learner.snapshot(), {"step": 5})
    rest = batches_of(tokens, config, 6, skip=5)
    losses = [learner.step(batch, 0.01).loss for batch in rest]

    other = build(dataclasses.replace(config))
    other.step(rest[0], 0.5)  # another life, to be forgotten
    snapshot, progress = read_snapshot(folder / "at.safetensors")
    other.restore(snapshot)
    assert progress == {"step": 5}
    again = []
    for batch in rest:
        other.validate(tokens[:200])  # changes nothing, no random number either
        again.append(other.step(batch, 0.01).loss)
    assert again == losses
    assert other.snapshot().values == learner.snapshot().values
    assert_same_arrays(other.weights(), learner.weights())


def assert_same_arrays(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """To the bit."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
