"""Sentence VAEs with weights drawn at random, over the words of a few sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
from _settings import model_config, text_config

from rondel.api.sentence_vae import SentenceVAE
from rondel.artifact import Artifact
from rondel.cells import cells
from rondel.engine.base import Floats
from rondel.settings import ModelConfig
from rondel.text.tokenizers import train_tokenizer

SENTENCES = (
    "A man rides a horse.",
    "A dog runs on the beach, and a man runs after it.",
    "Two people sit at a table",
    'a "small" dog (it\'s brown) sleeps on the table.',
    "horse",
)
TEXT = "\n".join(SENTENCES) + "\n"
LONGEST = 14


def random_config(vocab_size: int, **settings: Any) -> ModelConfig:
    shape: dict[str, Any] = {
        "model": "sentence-vae",
        "cell": "lstm",
        "num_layers": 2,
        "hidden_size": 12,
        "embedding_size": 8,
        "tie_weights": False,
        "latent_size": 5,
        "encoder_layers": 2,
        "encoder_hidden_size": 10,
        "encoder_cell": "gru",
        "encoder_bidirectional": True,
        "latent_input": False,
        "longest_sentence": LONGEST,
    }
    return model_config(**{**shape, **settings}, vocab_size=vocab_size)


def random_weights(config: ModelConfig, seed: int = 3) -> dict[str, Floats]:
    """Weights large enough that different sentences and points give different ones."""
    rng = np.random.default_rng(seed)
    inputs = config.embedding_size or config.vocab_size
    latent = config.own["latent_size"]
    weights: dict[str, Floats] = {}

    def array(name: str, *shape: int, spread: float = 1.0) -> None:
        weights[name] = rng.uniform(-spread, spread, shape).astype(np.float32)

    def stack(prefix: str, cell: str | None, layers: int, hidden: int, first: int) -> None:
        rows = len(cells[cell or config.cell].gates) * hidden
        for layer in range(layers):
            array(f"{prefix}.weight_ih_l{layer}", rows, hidden if layer else first)
            array(f"{prefix}.weight_hh_l{layer}", rows, hidden, spread=0.5)
            array(f"{prefix}.bias_ih_l{layer}", rows)
            array(f"{prefix}.bias_hh_l{layer}", rows)

    if config.embedding_size:
        array("embedding.weight", config.vocab_size, config.embedding_size)
    joined = inputs + (latent if config.own["latent_input"] else 0)
    stack("core", None, config.num_layers, config.hidden_size, joined)
    encoder_layers = config.own["encoder_layers"] or config.num_layers
    encoder_hidden = config.own["encoder_hidden_size"] or config.hidden_size
    ways = ("encoder", "encoder_backward")[: 1 + bool(config.own["encoder_bidirectional"])]
    for way in ways:
        stack(way, config.own["encoder_cell"], encoder_layers, encoder_hidden, inputs)
    summary = len(ways) * encoder_hidden
    states = len(cells[config.cell].states)
    for name, rows, columns in (
        ("latent.mean", latent, summary),
        ("latent.log_variance", latent, summary),
        ("latent.state", states * config.num_layers * config.hidden_size, latent),
    ):
        array(f"{name}.weight", rows, columns)
        array(f"{name}.bias", rows)
    if not config.tie_weights:
        array("head.weight", config.vocab_size, config.hidden_size, spread=3.0)
    array("head.bias", config.vocab_size)
    return weights


def random_vae(level: str = "word", **settings: Any) -> SentenceVAE:
    tokenizer = train_tokenizer(TEXT, text_config(level=level, min_count=1))
    config = random_config(tokenizer.vocab_size, **settings)
    return SentenceVAE(Artifact(config, tokenizer, random_weights(config)))
