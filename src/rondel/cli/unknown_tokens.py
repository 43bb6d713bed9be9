"""The message about tokens that a model does not know."""

from __future__ import annotations

import click

LISTED = 8


def report_unknowns(unknowns: list[str]) -> None:
    """Print the unknown tokens of a text on standard error, if there are any."""
    if unknowns:
        listed = " ".join(map(repr, unknowns[:LISTED])) + (" …" if len(unknowns) > LISTED else "")
        click.echo(f"rondel: the model does not know {listed}; read as unknown", err=True)
