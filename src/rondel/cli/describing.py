"""Words for models, shared by the commands that speak of them."""

from __future__ import annotations

from rondel.config import ModelConfig


def describe_model(config: ModelConfig) -> str:
    """`lstm 2×512, embedding 64, dropout 0.2`."""
    cell = f"{config.cell} ({config.nonlinearity})" if config.cell == "rnn" else config.cell
    parts = [f"{cell} {config.num_layers}×{config.hidden_size}"]
    parts.append(f"embedding {config.embedding_size}" if config.embedding_size else "one-hot input")
    if config.dropout:
        kind = "variational dropout" if config.variational else "dropout"
        parts.append(f"{kind} {config.dropout:g}")
    if config.tie_weights:
        parts.append("tied weights")
    return ", ".join(parts)
