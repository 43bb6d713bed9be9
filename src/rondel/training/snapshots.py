"""What a resume reads: a learner's snapshot and the run's progress, in one file, in one move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from rondel.artifact import digest
from rondel.errors import ModelFolderError
from rondel.files import write_atomically
from rondel.training.learner import Snapshot

FORMAT = "rondel-resume"


def write_snapshot(path: Path, snapshot: Snapshot, progress: dict[str, Any]) -> None:
    """Replace the file at `path`."""
    arrays = {name: np.ascontiguousarray(array) for name, array in snapshot.arrays.items()}
    texts = {"learner": json.dumps(snapshot.values), "progress": json.dumps(progress)}
    header = {"format": FORMAT, "digest": digest(arrays, *texts.values()), **texts}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=header))


def read_snapshot(path: Path) -> tuple[Snapshot, dict[str, Any]]:
    """The snapshot and the progress; `ModelFolderError` if they are missing or damaged."""
    if not path.is_file():
        raise ModelFolderError(
            f"{path.parent} cannot be resumed: it has no {path.name}. "
            f"To train on from its weights, use --init-from {path.parent}"
        )
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ModelFolderError(f"{path} is truncated or damaged ({error})") from None
    texts = [header.get("learner", ""), header.get("progress", "")]
    if header.get("format") != FORMAT or header.get("digest") != digest(arrays, *texts):
        raise ModelFolderError(
            f"{path} was changed or damaged after it was written. "
            f"To train on from the weights, use --init-from {path.parent}"
        )
    learner, progress = map(json.loads, texts)
    return Snapshot(arrays, learner), progress
