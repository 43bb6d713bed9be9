"""Bidirectional models to test with: small, random or trained, and read token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from _runs import configured
from _settings import text_config

from rondel import Model
from rondel.api.load import model_of
from rondel.artifact import Artifact
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.models.bidirectional_module import BidirectionalModel
from rondel.settings import ModelConfig
from rondel.text.tokenizers import train_tokenizer

TEXT = (
    "  The cup is full, and (so they say) “hot”!\n\nWell-known beans;\tblue café — \n"
    "the cup, the cup: is é\u0301 3.14 ...\n   And then?"
)


def shape(vocab_size: int, nonlinearity: str = "tanh", **settings: Any) -> ModelConfig:
    settings = {"tie_weights": False, "dropout": 0.0, **settings, "model": "bidirectional"}
    return configured(vocab_size, nonlinearity=nonlinearity, **settings).model


def random_model(config: ModelConfig, scale: float = 3.0) -> BidirectionalModel:
    """Weights large enough that predictions differ."""
    torch.manual_seed(5)
    model = BidirectionalModel(config).eval()
    # What relu makes of large weights has no bound.
    scale = 1.2 if config.own.get("nonlinearity") == "relu" else scale
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def random_engine(config: ModelConfig) -> BidirectionalEngine:
    return BidirectionalEngine(config, random_model(config).export())


def random_text_model(cell: str = "lstm", nonlinearity: str = "tanh", **text: Any) -> Model:
    """A model of the characters, words … of `TEXT`."""
    tokenizer = train_tokenizer(TEXT, text_config(min_count=1, **{"level": "char", **text}))
    config = shape(tokenizer.vocab_size, nonlinearity, cell=cell, num_layers=2)
    return model_of(Artifact(config, tokenizer, random_model(config).export()))


def cloze_logits(engine: BidirectionalEngine, ids: np.ndarray) -> np.ndarray:
    """The logits (N, V) of every token given the others, one step after another."""
    befores, afters = [], []
    state = engine.causal.initial_state()
    for token in ids:
        befores.append(state[0][-1])
        _, state = engine.causal.step(np.array([token]), state)
    state = engine.reverse.initial_state()
    for token in ids[::-1]:
        afters.append(state[0][-1])
        state = engine.reverse.advance(np.array([[token]]), state)
    return engine.logits(np.concatenate(befores), np.concatenate(afters[::-1]))


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
