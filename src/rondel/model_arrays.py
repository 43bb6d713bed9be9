"""The arrays of each kind of model: their names, shapes and type, as a model's folder holds them.

A model's shape (`ModelConfig`) says all of it, and a folder is checked against that, whole::

    shapes = dict(arrays_of(config))   # {"core.weight_ih_l0": (1024, 256), …}
    check_arrays(config, weights)      # ModelFolderError: the array head.bias is missing

Shapes: V vocabulary, E embedding size, H hidden size, G rows of gates, Z latent size, D summary of
a sentence, S states, L layers. A cell's arrays are those of `torch.nn.LSTM`, `GRU` and `RNN`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from rondel.cells import build_cell
from rondel.config import ModelConfig
from rondel.errors import InputError, ModelFolderError
from rondel.folder_files import array_fault

Shape = tuple[int, ...]
Arrays = Iterator[tuple[str, Shape]]

DTYPE = np.dtype(np.float32)
"""Of every array."""


def stack_arrays(
    prefix: str, config: ModelConfig, input_size: int, hidden_size: int, layers: int
) -> Arrays:
    """Layers of `config.cell` on one another; the first reads `input_size` numbers."""
    rows = len(build_cell(config).gates) * hidden_size
    for layer in range(layers):
        yield f"{prefix}.weight_ih_l{layer}", (rows, hidden_size if layer else input_size)
        yield f"{prefix}.weight_hh_l{layer}", (rows, hidden_size)
        yield f"{prefix}.bias_ih_l{layer}", (rows,)
        yield f"{prefix}.bias_hh_l{layer}", (rows,)


def language_model_arrays(config: ModelConfig, joined: int = 0) -> Arrays:
    """`embedding` (V, E), unless input is one-hot; `core`, a stack; `head` (V, H), unless tied.

    `joined` is how many numbers the first layer reads besides a token's vector.
    """
    vocab_size, hidden_size = config.vocab_size, config.hidden_size
    width = input_width(config)
    if config.embedding_size:
        yield "embedding.weight", (vocab_size, width)
    yield from stack_arrays("core", config, width + joined, hidden_size, config.num_layers)
    yield from output_arrays("head", config)


def bidirectional_arrays(config: ModelConfig) -> Arrays:
    """A language model's; `backward`, a second stack; `join` (H, 2H); `cloze` as the head."""
    size = config.hidden_size
    yield from language_model_arrays(config)
    yield from stack_arrays("backward", config, input_width(config), size, config.num_layers)
    yield from linear_arrays("join", size, 2 * size)
    yield from output_arrays("cloze", config)


def sentence_vae_arrays(config: ModelConfig) -> Arrays:
    """A language model's (which may read z too), one or two encoders, and the maps around z.

    `latent.mean` and `latent.log_variance` are (Z, D), `latent.state` is (S·L·H, Z).
    """
    latent_size = config.latent_size or 0
    yield from language_model_arrays(config, latent_size if config.latent_input else 0)
    encoder = dataclasses.replace(config, cell=config.encoder_cell or config.cell)
    size = config.encoder_hidden_size or config.hidden_size
    layers = config.encoder_layers or config.num_layers
    stacks = ["encoder", "encoder_backward"][: 1 + bool(config.encoder_bidirectional)]
    for name in stacks:
        yield from stack_arrays(name, encoder, input_width(config), size, layers)
    for name in ("mean", "log_variance"):
        yield from linear_arrays(f"latent.{name}", latent_size, size * len(stacks))
    states = len(build_cell(config).states) * config.num_layers * config.hidden_size
    yield from linear_arrays("latent.state", states, latent_size)


def output_arrays(name: str, config: ModelConfig) -> Arrays:
    """A map to the vocabulary, whose matrix is the embedding where the two are tied."""
    arrays = linear_arrays(name, config.vocab_size, config.hidden_size)
    return (a for a in arrays if not (config.tie_weights and a[0].endswith(".weight")))


def linear_arrays(name: str, rows: int, columns: int) -> Arrays:
    """A linear map with its bias."""
    yield f"{name}.weight", (rows, columns)
    yield f"{name}.bias", (rows,)


def input_width(config: ModelConfig) -> int:
    """How many numbers stand for a token."""
    return config.embedding_size or config.vocab_size


KINDS: dict[str, Callable[[ModelConfig], Arrays]] = {
    "language-model": language_model_arrays,
    "bidirectional": bidirectional_arrays,
    "sentence-vae": sentence_vae_arrays,
}


def arrays_of(config: ModelConfig) -> Arrays:
    """Name and shape of every array of a model, one after the other."""
    return KINDS[config.model](config)


def check_is_whole(config: ModelConfig) -> None:
    """Raise `InputError` if the shape leaves out what a model's arrays follow from."""
    needed = ["model", "cell", "nonlinearity", "num_layers", "hidden_size", "vocab_size"]
    if config.tie_weights:
        needed.append("embedding_size")
    if config.is_sentence_vae:
        needed.append("latent_size")
    for name in needed:
        if getattr(config, name) is None:
            raise InputError(f"{name} is not said")
    if config.embedding_size == 0 and config.tie_weights:
        raise InputError("tie_weights needs an embedding")


def check_arrays(config: ModelConfig, weights: Mapping[str, Any]) -> None:
    """Raise `ModelFolderError` unless `weights` are the arrays of such a model, and no others."""
    known = set()
    # One after the other: a damaged number of layers would make a list of them endless.
    for name, shape in arrays_of(config):
        fault = array_fault(weights, name, shape, DTYPE)
        if fault:
            raise ModelFolderError(fault)
        known.add(name)
    foreign = sorted(weights.keys() - known)
    if foreign:
        raise ModelFolderError(f"a {config.model} of this shape has no array {foreign[0]}")
