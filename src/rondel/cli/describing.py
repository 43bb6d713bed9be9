"""Words for what a model does not know, shared by the commands that speak of it."""

from __future__ import annotations

import click

LISTED = 8


def tell_of_unknowns(unknowns: list[str]) -> None:
    """Say on standard error what of a text the model does not know, if there is anything."""
    if unknowns:
        listed = " ".join(map(repr, unknowns[:LISTED])) + (" …" if len(unknowns) > LISTED else "")
        click.echo(f"rondel: the model does not know {listed}; read as unknown", err=True)
