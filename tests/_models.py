"""Models with weights drawn at random, of any cell and shape."""

from __future__ import annotations

import numpy as np
from _settings import model_config

from rondel.cells import cells
from rondel.engine import NumpyEngine
from rondel.engine.base import Floats
from rondel.settings import ModelConfig

Weights = dict[str, Floats]


def random_model(
    cell: str,
    nonlinearity: str = "tanh",
    *,
    layers: int = 1,
    hidden: int = 16,
    vocab: int = 11,
    embedding: int = 0,
    tied: bool = False,
    seed: int = 0,
) -> tuple[ModelConfig, Weights]:
    """A configuration and its weights: an embedding of 0 is one-hot input."""
    rng = np.random.default_rng(seed)
    rows = len(cells[cell].gates) * hidden
    spread = 1.5 / np.sqrt(hidden)

    def array(*shape: int) -> Floats:
        return rng.uniform(-spread, spread, shape).astype(np.float32)

    weights = {"head.bias": array(vocab)}
    if embedding:
        weights["embedding.weight"] = array(vocab, embedding)
    if not tied:
        weights["head.weight"] = 4 * array(vocab, hidden)
    for layer in range(layers):
        columns = hidden if layer else embedding or vocab
        weights[f"core.weight_ih_l{layer}"] = array(rows, columns)
        weights[f"core.weight_hh_l{layer}"] = array(rows, hidden)
        weights[f"core.bias_ih_l{layer}"] = array(rows)
        weights[f"core.bias_hh_l{layer}"] = array(rows)
    config = model_config(
        cell=cell,
        nonlinearity=nonlinearity,
        num_layers=layers,
        hidden_size=hidden,
        embedding_size=embedding,
        tie_weights=tied,
        vocab_size=vocab,
    )
    return config, weights


def some_state(config: ModelConfig, weights: Weights, batch: int) -> tuple[Floats, ...]:
    """A state that is not zero: that of a text under way."""
    rng = np.random.default_rng(2)
    return tuple(
        rng.uniform(-0.9, 0.9, part.shape).astype(np.float32)
        for part in NumpyEngine(config, weights).initial_state(batch)
    )
