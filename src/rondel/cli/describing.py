"""Words for models and for what they do not know, shared by the commands that speak of them."""

from __future__ import annotations

import click

from rondel.settings import ModelConfig

LISTED = 8


def describe_model(config: ModelConfig) -> str:
    """`lstm 2×512, embedding 64, dropout 0.2`."""
    nonlinearity = config.own.get("nonlinearity")
    cell = f"{config.cell} ({nonlinearity})" if nonlinearity else config.cell
    parts = [f"{cell} {config.num_layers}×{config.hidden_size}"]
    parts.append(f"embedding {config.embedding_size}" if config.embedding_size else "one-hot input")
    if config.dropout:
        kind = "variational dropout" if config.variational else "dropout"
        parts.append(f"{kind} {config.dropout:g}")
    if config.tie_weights:
        parts.append("tied weights")
    return ", ".join(parts)


def tell_of_unknowns(unknowns: list[str]) -> None:
    """Say on standard error what of a text the model does not know, if there is anything."""
    if unknowns:
        listed = " ".join(map(repr, unknowns[:LISTED])) + (" …" if len(unknowns) > LISTED else "")
        click.echo(f"rondel: the model does not know {listed}; read as unknown", err=True)
