"""Small runs, made as the commands make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from rondel.cells import cells
from rondel.cli import cli
from rondel.data.batches import Batch, Cursor, stream_batches
from rondel.data.facts import TextFacts
from rondel.engine import NumpyEngine
from rondel.settings import RunConfig, Settings
from rondel.settings.fields import settings_of
from rondel.training.loop import fit
from rondel.training.resolve import resolve
from rondel.training.run import Run
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
    small = {k: v for k, v in SMALL.items() if not (warm_start and k in warm_start.fixed())}
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
