"""The model folder: a complete model in one folder that can be moved, without pickles.

::

    model.json             format, shape (`ModelConfig`), excerpts that texts begin with
    tokenizer.json         the vocabulary
    weights.safetensors    the arrays; in its header the training progress and three checksums

Files that do not belong together, or were changed, are refused. Of the checksums in the header,
`fingerprint` is of the shape and vocabulary that the weights were trained with, `digest` of the
arrays and the progress, and `whole` of the values in both JSON files, whatever their formatting. A
header without `whole` is of an earlier version and is accepted. `rondel.model_arrays` lists the
arrays of a shape.

A training run adds its own files to the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from rondel import __version__
from rondel.errors import InputError, ModelFolderError
from rondel.files import new_folder, real_path, write_atomically
from rondel.folder_files import (
    all_arrays,
    check_is_file,
    checksum,
    is_number,
    open_arrays,
    parse_json,
    read_json,
    reading,
)
from rondel.locks import FolderLock
from rondel.model_arrays import check_arrays, check_is_complete
from rondel.settings import ModelConfig, build_section
from rondel.text.tokenizers import Tokenizer, tokenizer_from_json, tokenizer_to_json

FORMAT, VERSION = "rondel-model", 1
HEADER = ("format", "fingerprint", "digest", "progress")
MODEL, TOKENIZER, WEIGHTS = "model.json", "tokenizer.json", "weights.safetensors"
# All names that rondel uses in a folder: the model's three files, and those of a run.
OWN_FILES = (
    MODEL,
    TOKENIZER,
    WEIGHTS,
    "run.toml",
    "resume.safetensors",
    "metrics.jsonl",
    "loss.png",
)
OWN_FOLDERS = {
    "best": (MODEL, TOKENIZER, WEIGHTS),
    "tokens": ("*.bin", "splits.json"),
    "tensorboard": ("*tfevents*",),
}
LEFTOVERS = ("*.draft", "*.old")

Weights = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Artifact:
    """The contents of a model folder.

    `weights` maps names such as `core.weight_ih_l0` to arrays; `progress` is the training progress
    (step, epoch, tokens, seconds, train_loss, val_loss; losses in nats per token); `excerpts` are
    the openings of texts without a prime: a line break, or beginnings of sentences of the training
    text (see `rondel.generation.opening`).
    """

    config: ModelConfig
    tokenizer: Tokenizer
    weights: Weights
    progress: dict[str, Any] = field(default_factory=dict)
    excerpts: tuple[str, ...] = ()


def describe_model(config: ModelConfig) -> str:
    """Describe a model's shape, as in `lstm 2×512, embedding 64, dropout 0.2`."""
    nonlinearity = config.own.get("nonlinearity")
    cell = f"{config.cell} ({nonlinearity})" if nonlinearity else config.cell
    parts = [f"{cell} {config.num_layers}×{config.hidden_size}"]
    parts.append(f"embedding {config.embedding_size}" if config.embedding_size else "one-hot input")
    if config.dropout:
        kind = "variational dropout" if config.variational else "dropout"
        parts.append(f"{kind} {config.dropout:g}")
    if config.tie_weights:
        parts.append("tied weights")
    if config.softmax != ModelConfig.softmax:
        parts.append(f"{config.softmax} softmax")
    return ", ".join(parts)


def describe(model: Artifact) -> str:
    """Describe a model in one line: kind, shape, vocabulary, parameters and training progress."""
    config, noun, progress = model.config, model.tokenizer.token_noun, model.progress
    parts = [
        f"{config.model}, {describe_model(config)}",
        f"{model.tokenizer.vocab_size:,} {noun}s known",
        f"{sum(array.size for array in model.weights.values()):,} parameters",
    ]
    if progress.get("step") is not None:
        parts.append(f"{progress['step']:,} steps")
    losses = {"validation": progress.get("val_loss"), "training": progress.get("train_loss")}
    known = [f"{name} loss {loss:.3f} nats" for name, loss in losses.items() if loss is not None]
    return "; ".join(parts + known[:1])


def shown_name(path: Path) -> str:
    """What a model is called on a page: its folder, with the run's if it is the run's best."""
    place = real_path(path)
    return f"{place.parent.name}/{place.name}" if place.name in OWN_FOLDERS else place.name


def is_model(path: Path) -> bool:
    """Whether there is a model folder at `path`."""
    return (path / MODEL).is_file()


def refuse_foreign(path: Path) -> None:
    """Raise `InputError` if a folder to be replaced has files that are not rondel's."""
    foreign = sorted(_foreign(path, OWN_FILES, OWN_FOLDERS))
    if foreign:
        raise InputError(
            f"{path} holds {foreign[0]!r}, which is not rondel's and would be lost; "
            "move it away, or choose another folder"
        )


def _foreign(
    folder: Path, files: tuple[str, ...], folders: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """Yield the paths, relative to `folder`, that are not these files and folders of files."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name in folders:
            inside = _foreign(entry, folders[entry.name], {})
            yield from (f"{entry.name}/{name}" for name in inside)
        else:
            known = LEFTOVERS if entry.is_dir() else LEFTOVERS + files
            if not any(fnmatch(entry.name, pattern) for pattern in known):
                yield entry.name


def lock(path: Path) -> FolderLock:
    """The lock for writing to the model folder `path`.

    A folder inside a model folder (a run's `best/`) shares its lock.
    """
    folder = real_path(path)
    while is_model(folder.parent):
        folder = folder.parent
    return FolderLock(folder, shown=path)


def fingerprint(config: dict[str, Any], tokenizer: dict[str, Any]) -> str:
    """The checksum of a model's shape and vocabulary, as in their files.

    It is of the files' values, so that a later version with more settings gets the same checksum.
    """
    return checksum(config, tokenizer)


def digest(weights: Weights, *texts: str) -> str:
    """The checksum of named arrays (names, types, shapes and values) and of texts."""
    total = hashlib.sha256()
    for text in texts:
        total.update(f"{text}\n".encode())
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.data)
    return total.hexdigest()


def save(path: Path, artifact: Artifact, *, overwrite: bool = False) -> None:
    """Write a model folder at `path` atomically.

    Raises `InputError` if `path` exists, unless it is a model and `overwrite` is set, or if a run
    is being trained there.
    """
    _check_parts(artifact, path)
    with lock(path):
        if path.exists() and not (overwrite and is_model(path)):
            raise InputError(f"{path} is there already; choose another folder")
        if path.exists():
            refuse_foreign(path)
        with new_folder(path) as draft:
            write_parts(draft, artifact)


def write_parts(folder: Path, artifact: Artifact) -> None:
    """Write a model's three files into an existing folder."""
    _write_description(folder, artifact)
    write_weights(folder, artifact)


def write_weights(folder: Path, artifact: Artifact) -> None:
    """Replace a model folder's weights and progress atomically.

    The checksums are of the JSON files as they are, which an earlier version may have written with
    fewer settings. If these files do not match `artifact`, they are rewritten.
    """
    if not _matches_description(folder, artifact):
        _write_description(folder, artifact)
    description, vocabulary = read_json(folder / MODEL), read_json(folder / TOKENIZER)
    arrays = {name: np.ascontiguousarray(array) for name, array in artifact.weights.items()}
    progress = json.dumps(artifact.progress)
    header = {
        "format": FORMAT,
        "fingerprint": fingerprint(description["config"], vocabulary),
        "digest": digest(arrays, progress),
        "whole": checksum(description, vocabulary),
        "progress": progress,
    }
    write_atomically(folder / WEIGHTS, safetensors.numpy.save(arrays, metadata=header))


def _write_description(folder: Path, artifact: Artifact) -> None:
    description = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"rondel {__version__}",
        "config": artifact.config.flat(),
        "excerpts": list(artifact.excerpts),
    }
    for name, values in (
        (MODEL, description),
        (TOKENIZER, tokenizer_to_json(artifact.tokenizer)),
    ):
        write_atomically(folder / name, (json.dumps(values, indent=1) + "\n").encode())


def _matches_description(folder: Path, artifact: Artifact) -> bool:
    """Whether the JSON files in a folder match `artifact`."""
    try:
        config, excerpts, _ = _read_description(folder)
        vocabulary = read_json(folder / TOKENIZER)
    except ModelFolderError:
        return False
    found = (config, excerpts, vocabulary)
    return found == (artifact.config, artifact.excerpts, tokenizer_to_json(artifact.tokenizer))


def load(path: Path) -> Artifact:
    """Read a model folder.

    Raises `ModelFolderError`, with the reason, if it is missing, damaged, changed, of a newer
    format, or if its files do not belong together.
    """
    config, excerpts, description = _read_description(path)
    vocabulary = read_json(path / TOKENIZER)
    try:
        tokenizer = tokenizer_from_json(vocabulary)
    except ModelFolderError as error:
        raise ModelFolderError(f"{path / TOKENIZER}: {error}") from None
    with _open_weights(path / WEIGHTS) as file:
        header = _header(file, path / WEIGHTS)
        weights = all_arrays(file, path / WEIGHTS)
    if header["fingerprint"] != fingerprint(description["config"], vocabulary):
        raise ModelFolderError(
            f"{path}: the weights were not trained with this {MODEL} and {TOKENIZER}; "
            "copy the whole folder again from where it was trained"
        )
    if header["digest"] != digest(weights, header["progress"]):
        raise ModelFolderError(
            f"{path / WEIGHTS} was changed or damaged after it was written; copy it again"
        )
    if header.get("whole", whole := checksum(description, vocabulary)) != whole:
        raise ModelFolderError(
            f"{path / MODEL} was changed or damaged after it was written; copy it again"
        )
    progress = _progress(header, path / WEIGHTS)
    model = Artifact(config, tokenizer, weights, progress, excerpts)
    _check_parts(model, path)
    return model


def _check_parts(model: Artifact, path: Path) -> None:
    """Raise `ModelFolderError` if shape, vocabulary and weights do not match."""
    if model.tokenizer.vocab_size != model.config.vocab_size:
        raise ModelFolderError(
            f"{path}: shape and vocabulary do not match (a vocabulary of "
            f"{model.tokenizer.vocab_size}, not {model.config.vocab_size}); "
            "copy the whole folder again"
        )
    try:
        check_arrays(model.config, model.weights)
    except (ModelFolderError, InputError) as error:
        raise ModelFolderError(
            f"{path}: shape and weights do not match ({error}); copy the whole folder again"
        ) from None


def read_progress(path: Path) -> dict[str, Any]:
    """The training progress of the model at `path`, without reading its arrays."""
    with _open_weights(path / WEIGHTS) as file:
        return _progress(_header(file, path / WEIGHTS), path / WEIGHTS)


def _read_description(path: Path) -> tuple[ModelConfig, tuple[str, ...], dict[str, Any]]:
    """A model's shape and excerpts, and the raw description."""
    with reading(path):
        mode = path.stat().st_mode if os.path.lexists(path) else None
    if mode is None:
        raise ModelFolderError(f"{path}: there is no such folder")
    if not stat.S_ISDIR(mode):
        _refuse_pickle(path)
        raise ModelFolderError(f"{path} is a file; a model is a folder, with {MODEL} in it")
    if not os.path.lexists(path / MODEL):
        raise ModelFolderError(f"{path} is not a model folder: it has no {MODEL}")
    description = read_json(path / MODEL)
    if description.get("format") != FORMAT:
        raise ModelFolderError(f"{path / MODEL} is not a rondel model's description")
    if description.get("version") != VERSION:
        raise ModelFolderError(
            f"{path} has format version {description.get('version')!r}, and this rondel "
            f"({__version__}) reads version {VERSION}; use the rondel that made it"
        )
    excerpts = description.get("excerpts", [])
    if not isinstance(excerpts, list) or not all(isinstance(text, str) for text in excerpts):
        raise ModelFolderError(f"{path / MODEL}: its excerpts are not texts; copy it again")
    return _config_of(description, path), tuple(excerpts), description


def _config_of(description: dict[str, Any], path: Path) -> ModelConfig:
    values = description.get("config")
    try:
        if not isinstance(values, dict):
            raise InputError("its config is not an object")
        check_is_complete(values)
        return build_section(ModelConfig, values)
    except InputError as error:
        raise ModelFolderError(f"{path / MODEL} cannot be read ({error}); copy it again") from None


def _open_weights(path: Path) -> AbstractContextManager[Any]:
    check_is_file(path)
    with reading(path):
        _refuse_pickle(path)
    return open_arrays(path)


def _header(file: Any, path: Path) -> dict[str, str]:
    header = dict(file.metadata() or {})
    if header.get("format") != FORMAT or any(part not in header for part in HEADER):
        raise ModelFolderError(f"{path} was not written by rondel: its header is not rondel's")
    return header


def _progress(header: dict[str, str], path: Path) -> dict[str, Any]:
    progress = parse_json(header["progress"], path)
    for name, value in progress.items():
        if not is_number(value) and not (value is None and name.endswith("_loss")):
            raise ModelFolderError(f"{path} is damaged ({name!r} is {value!r}); copy it again")
    return progress


def _refuse_pickle(path: Path) -> None:
    """Raise `ModelFolderError` for a pickle or a zip archive of pickles: reading one runs code."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(9)
    # A pickle of protocol 2 or later begins with these two bytes, a zip archive with these four.
    # The length that begins a safetensors file may do so too, but then the ninth byte is a brace.
    is_pickle = start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and start[8:] != b"{"
    if is_pickle or start[:4] == b"PK\x03\x04":
        raise ModelFolderError(
            f"{path} is a pickle (a PyTorch checkpoint?), which could run any code when read; "
            "rondel reads safetensors only"
        )
