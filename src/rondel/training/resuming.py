"""Checks that the files of a run belong together, before it is resumed.

Each may be intact and still be of another run, or have impossible values.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from rondel.artifact import Artifact
from rondel.data.document_batches import document_steps
from rondel.data.documents import Documents
from rondel.data.store import Ids, TokenStore
from rondel.errors import ModelFolderError
from rondel.kinds import kind_of
from rondel.settings import RunConfig
from rondel.text.tokenizers import Tokenizer
from rondel.training.learner import Learner, Snapshot
from rondel.training.progress import Progress

FILES, FOLDERS = ("metrics.jsonl", "loss.png"), ("best", "tensorboard")


def check_places(folder: Path) -> None:
    """Raise `ModelFolderError` if a file that the run will write is a folder, or the reverse."""
    for name in FILES:
        if (folder / name).is_dir():
            raise ModelFolderError(f"{folder / name} is a folder, not a file; move it away")
    for name in FOLDERS:
        if os.path.lexists(folder / name) and not (folder / name).is_dir():
            raise ModelFolderError(f"{folder / name} is no folder; move it away")


def read_values(values: dict[str, Any], path: Path) -> tuple[Progress, dict[str, Any]]:
    """Return the run's progress and the settings that it began with, from its snapshot's values."""
    values = dict(values)
    settings = values.pop("settings", None)
    values.pop("launch", None)
    try:
        if not isinstance(settings, dict):
            raise ValueError("it has no settings")
        return Progress.from_json(values), settings
    except ValueError as error:
        raise _other_run(path, error) from None


def check_text(store: TokenStore, model: Artifact, config: RunConfig, progress: Progress) -> None:
    """Raise `ModelFolderError` if the stored text is not the one that the run was trained on."""
    store.check_vocabulary(model.config.vocab_size)
    documents = Documents.of(store, "train")
    if documents is not None:
        steps = document_steps(documents, config.training.batch_size, config.training.seq_length)
    else:
        steps = steps_per_epoch(store.tokens("train"), model.tokenizer, config)
    if steps < 1 or steps != progress.steps_per_epoch:
        raise ModelFolderError(
            f"{store.folder} is not the text of this run ({steps} steps would read it once, and "
            f"the run takes {progress.steps_per_epoch}); copy the whole folder again"
        )
    validation = store.tokens("validation")
    if len(validation) and steps_per_epoch(validation, model.tokenizer, config, streams=1) < 1:
        raise ModelFolderError(
            f"{store.folder} has nothing to validate with; copy the whole folder again"
        )


def restore(learner: Learner, snapshot: Snapshot, path: Path) -> None:
    """Restore a learner from a snapshot; `ModelFolderError` if it is not of such a learner."""
    try:
        learner.restore(snapshot)
    except (ValueError, KeyError, TypeError) as error:
        raise _other_run(path, error) from None


def steps_per_epoch(
    tokens: Ids, tokenizer: Tokenizer, config: RunConfig, streams: int | None = None
) -> int:
    """Return how many batches (of `streams`, if given) one pass over a text (N,) takes."""
    kind, training = kind_of(config.model), config.training
    if streams is not None:
        training = dataclasses.replace(training, batch_size=streams)
    steps: int = kind.steps_per_epoch(kind.text_facts(tokens, tokenizer), training)
    return steps


def _other_run(path: Path, error: Exception) -> ModelFolderError:
    return ModelFolderError(
        f"{path} does not go with this run ({error}). "
        f"To train on from the weights, use --init-from {path.parent}"
    )
