"""The file for resuming: a learner's snapshot and the run's progress, replaced in one move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from rondel.artifact import digest
from rondel.errors import ModelFolderError
from rondel.files import write_atomically
from rondel.folder_files import all_arrays, open_arrays, parse_json
from rondel.training.learner import Snapshot

FORMAT = "rondel-resume"


def write_snapshot(path: Path, snapshot: Snapshot, progress: dict[str, Any]) -> None:
    """Replace the file at `path`."""
    arrays = {name: np.ascontiguousarray(array) for name, array in snapshot.arrays.items()}
    texts = {"learner": json.dumps(snapshot.values), "progress": json.dumps(progress)}
    header = {"format": FORMAT, "digest": digest(arrays, *texts.values()), **texts}
    write_atomically(path, safetensors.numpy.save(arrays, metadata=header))


def read_launch(path: Path) -> str:
    """Return which launch of `torchrun` wrote a snapshot; empty if none did, or if unreadable."""
    try:
        with open_arrays(path) as file:
            progress = parse_json((file.metadata() or {}).get("progress", ""), path)
    except (ModelFolderError, OSError):
        return ""
    return str(progress.get("launch", ""))


def read_snapshot(path: Path) -> tuple[Snapshot, dict[str, Any]]:
    """Read the snapshot and the progress; `ModelFolderError` if they are missing or damaged."""
    if not path.exists():
        raise ModelFolderError(
            f"{path.parent} cannot be resumed: it has no {path.name}. "
            f"To train on from its weights, use --init-from {path.parent}"
        )
    with open_arrays(path) as file:
        header = file.metadata() or {}
        arrays = all_arrays(file, path)
    texts = [header.get("learner", ""), header.get("progress", "")]
    if header.get("format") != FORMAT or header.get("digest") != digest(arrays, *texts):
        raise ModelFolderError(
            f"{path} was changed or damaged after it was written. "
            f"To train on from the weights, use --init-from {path.parent}"
        )
    learner, progress = (parse_json(text, path) for text in texts)
    return Snapshot(arrays, learner), progress
