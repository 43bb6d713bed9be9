"""`rondel analogy`: write what is to one sentence as another is to a third."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rondel.cli.options import SectionedCommand, refuse_without_effect
from rondel.cli.printing import printable
from rondel.cli.sentences import open_sentence_vae, tell_of_unknowns_in, told, writing_options


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("a")
@click.argument("b")
@click.argument("c")
@writing_options
def command(model: Path, a: str, b: str, c: str, **settings: Any) -> None:
    """Write what is to sentence C as sentence B is to sentence A: that at z(B) - z(A) + z(C)."""
    refuse_without_effect(settings["mode"])
    vae = open_sentence_vae(model)
    tell_of_unknowns_in(vae, a, b, c)
    click.echo(printable(vae.analogy(a, b, c, **told(settings))))
