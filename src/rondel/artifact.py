"""The model folder: everything a model is, in one folder that can be moved, and nothing unsafe.

::

    model.json             format, shape (`ModelConfig`), a few excerpts of its text
    tokenizer.json         the vocabulary
    weights.safetensors    the arrays; in its header, how far training had come, and two sums

The header's `fingerprint` sums the shape and vocabulary that the weights were trained with, its
`digest` the arrays and that progress: parts that do not belong together, or were changed, are
refused. No pickle is read or written. A training run adds files of its own beside these.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from rondel import __version__
from rondel.cells import build_cell
from rondel.config import ModelConfig, from_mapping
from rondel.errors import InputError, ModelFolderError
from rondel.files import new_folder, write_atomically
from rondel.text.tokenizers import Tokenizer, tokenizer_from_json, tokenizer_to_json

LATENT_MAPS = ("mean", "log_variance")
FORMAT, VERSION = "rondel-model", 1
HEADER = ("format", "fingerprint", "digest", "progress")
MODEL, TOKENIZER, WEIGHTS = "model.json", "tokenizer.json", "weights.safetensors"
# All that rondel puts into a folder: the model's three files, and what a run adds to them.
OWN = {MODEL, TOKENIZER, WEIGHTS, "best", "run.toml", "resume.safetensors", "tokens"}
OWN |= {"metrics.jsonl", "tensorboard", "loss.png"}

Weights = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Artifact:
    """A model as it lies in a folder.

    `weights` maps names such as `core.weight_ih_l0` to arrays; `progress` says how far training had
    come (step, epoch, tokens, seconds, train_loss, val_loss; losses in nats per token);
    `excerpts` are beginnings of lines from the training text.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    weights: Weights
    progress: dict[str, Any] = field(default_factory=dict)
    excerpts: tuple[str, ...] = ()


def is_model(path: Path) -> bool:
    """Whether a model folder stands at `path`."""
    return (path / MODEL).is_file()


def refuse_foreign(path: Path) -> None:
    """Raise `InputError` if a folder about to be replaced holds what rondel did not put there."""
    names = (entry.name for entry in path.iterdir())
    foreign = sorted(n for n in names if n not in OWN and not n.endswith((".draft", ".old")))
    if foreign:
        raise InputError(
            f"{path} holds {foreign[0]!r}, which is not rondel's and would be lost; "
            "move it away, or choose another folder"
        )


def fingerprint(config: dict[str, Any], tokenizer: dict[str, Any]) -> str:
    """The sum of a model's shape and vocabulary, as they stand in their files.

    As they stand, so that a later rondel with more settings finds the same sum.
    """
    return hashlib.sha256(json.dumps([config, tokenizer], sort_keys=True).encode()).hexdigest()


def digest(weights: Weights, *texts: str) -> str:
    """The sum of named arrays (names, types, shapes and values) and of texts that go with them."""
    total = hashlib.sha256()
    for text in texts:
        total.update(f"{text}\n".encode())
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        total.update(f"{name} {array.dtype} {array.shape}\n".encode())
        total.update(array.data)
    return total.hexdigest()


def save(path: Path, artifact: Artifact, *, overwrite: bool = False) -> None:
    """Write a model folder at `path`, whole or not at all.

    Raises `InputError` if something is there already, unless it is a model and `overwrite` is set.
    """
    _check_sizes(artifact, path)
    if path.exists() and not (overwrite and is_model(path)):
        raise InputError(f"{path} is there already; choose another folder")
    if path.exists():
        refuse_foreign(path)
    with new_folder(path) as draft:
        write_parts(draft, artifact)


def write_parts(folder: Path, artifact: Artifact) -> None:
    """Write a model's three files into an existing folder."""
    description = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"rondel {__version__}",
        "config": dataclasses.asdict(artifact.config),
        "excerpts": list(artifact.excerpts),
    }
    _write_json(folder / MODEL, description)
    _write_json(folder / TOKENIZER, tokenizer_to_json(artifact.tokenizer))
    write_weights(folder, artifact)


def write_weights(folder: Path, artifact: Artifact) -> None:
    """Replace a model folder's weights, and its progress with them, in one move."""
    arrays = {name: np.ascontiguousarray(array) for name, array in artifact.weights.items()}
    progress = json.dumps(artifact.progress)
    header = {
        "format": FORMAT,
        "fingerprint": fingerprint(
            dataclasses.asdict(artifact.config), tokenizer_to_json(artifact.tokenizer)
        ),
        "digest": digest(arrays, progress),
        "progress": progress,
    }
    write_atomically(folder / WEIGHTS, safetensors.numpy.save(arrays, metadata=header))


def load(path: Path) -> Artifact:
    """Read a model folder.

    Raises `ModelFolderError`, with the reason, if it is missing, damaged, changed, of a newer
    format, or if its parts do not belong together.
    """
    description = _read_description(path)
    config = _config_of(description, path)
    vocabulary = _read_json(path / TOKENIZER)
    try:
        tokenizer = tokenizer_from_json(vocabulary)
    except ModelFolderError as error:
        raise ModelFolderError(f"{path / TOKENIZER}: {error}") from None
    header, weights = _read_weights(path / WEIGHTS)
    if header["fingerprint"] != fingerprint(description["config"], vocabulary):
        raise ModelFolderError(
            f"{path}: the weights were not trained with this {MODEL} and {TOKENIZER}; "
            "copy the whole folder again from where it was trained"
        )
    if header["digest"] != digest(weights, header["progress"]):
        raise ModelFolderError(
            f"{path / WEIGHTS} was changed or damaged after it was written; copy it again"
        )
    excerpts = description.get("excerpts", [])
    if not isinstance(excerpts, list) or not all(isinstance(text, str) for text in excerpts):
        raise ModelFolderError(f"{path / MODEL}: its excerpts are no list of texts; copy it again")
    model = Artifact(config, tokenizer, weights, json.loads(header["progress"]), tuple(excerpts))
    _check_sizes(model, path)
    return model


def _check_sizes(model: Artifact, path: Path) -> None:
    """Refuse parts whose sizes cannot go together: `ModelFolderError`."""
    config, weights = model.config, model.weights
    rows = len(build_cell(config).gates) * config.hidden_size
    heads, cores = ["head"], ["core"]
    if config.is_bidirectional:
        heads, cores = ["head", "cloze"], ["core", "backward"]
    last = f"weight_hh_l{config.num_layers - 1}"
    expected: dict[str, tuple[int, ...]] = {f"{h}.bias": (config.vocab_size,) for h in heads}
    if config.is_sentence_vae:
        expected |= {f"latent.{name}.bias": (config.latent_size or 0,) for name in LATENT_MAPS}
    expected |= {f"{core}.{last}": (rows, config.hidden_size) for core in cores}
    found = {name: weights[name].shape if name in weights else None for name in expected}
    if found != expected or model.tokenizer.vocab_size != config.vocab_size:
        raise ModelFolderError(
            f"{path}: shape, vocabulary and weights do not go together (a vocabulary of "
            f"{model.tokenizer.vocab_size}, where {config.vocab_size} is said; arrays {found}, "
            f"where {expected} is said)"
        )


def read_progress(path: Path) -> dict[str, Any]:
    """How far the training of the model at `path` had come, without reading its arrays."""
    with _open_weights(path / WEIGHTS) as file:
        progress: dict[str, Any] = json.loads(_header(file, path / WEIGHTS)["progress"])
    return progress


def _read_description(path: Path) -> dict[str, Any]:
    if path.is_file():
        _refuse_pickle(path)
        raise ModelFolderError(f"{path} is a file; a model is a folder, with {MODEL} in it")
    if not path.is_dir():
        raise ModelFolderError(f"{path}: there is no such folder")
    if not is_model(path):
        raise ModelFolderError(f"{path} is not a model folder: it has no {MODEL}")
    description = _read_json(path / MODEL)
    if description.get("format") != FORMAT:
        raise ModelFolderError(f"{path / MODEL} is not a rondel model's description")
    if description.get("version") != VERSION:
        raise ModelFolderError(
            f"{path} has format version {description.get('version')}, and this rondel "
            f"({__version__}) reads version {VERSION}; use the rondel that made it"
        )
    return description


def _config_of(description: dict[str, Any], path: Path) -> ModelConfig:
    try:
        return from_mapping(ModelConfig, description.get("config", {}), "its config")
    except (InputError, TypeError) as error:
        raise ModelFolderError(f"{path / MODEL} cannot be read ({error}); copy it again") from None


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(values, indent=1) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFolderError(f"{path} is missing; copy the whole folder again") from None
    except ValueError as error:
        raise ModelFolderError(f"{path} is damaged ({error}); copy it again") from None
    if not isinstance(values, dict):
        raise ModelFolderError(f"{path} is damaged (no JSON object); copy it again")
    return values


def _open_weights(path: Path) -> Any:
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing; copy the whole folder again")
    try:
        return safetensors.safe_open(path, framework="numpy")
    except safetensors.SafetensorError as error:
        _refuse_pickle(path)
        raise ModelFolderError(f"{path} is truncated or damaged ({error}); copy it again") from None


def _header(file: Any, path: Path) -> dict[str, str]:
    header = dict(file.metadata() or {})
    if header.get("format") != FORMAT or any(part not in header for part in HEADER):
        raise ModelFolderError(f"{path} was not written by rondel: its header is not rondel's")
    return header


def _read_weights(path: Path) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    with _open_weights(path) as file:
        return _header(file, path), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _refuse_pickle(path: Path) -> None:
    """Old PyTorch files are pickles, newer ones zip archives of pickles: reading one runs code."""
    with path.open("rb") as file:
        start = file.read(9)
    # A pickle of protocol 2 or later begins with these two bytes, an archive with these four. So
    # may the length that safetensors begins with, but the ninth byte of that is a brace.
    looks = start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and start[8:] != b"{"
    if looks or start[:4] == b"PK\x03\x04":
        raise ModelFolderError(
            f"{path} is a pickle (a PyTorch checkpoint?), which could run any code when read; "
            "rondel reads safetensors only"
        )
