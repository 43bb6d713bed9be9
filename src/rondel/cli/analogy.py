"""`rondel analogy`: complete an analogy of sentences, with a sentence VAE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rondel.cli.options import SectionedCommand, refuse_idle_seed, refuse_without_effect
from rondel.cli.printing import printable
from rondel.cli.sentence_vae_options import (
    given_flags,
    load_sentence_vae,
    report_unknowns_in,
    writing_options,
)


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("a")
@click.argument("b")
@click.argument("c")
@writing_options
def command(model: Path, a: str, b: str, c: str, **settings: Any) -> None:
    """Write the sentence that relates to C as B relates to A: that at z(B) - z(A) + z(C)."""
    refuse_without_effect(settings["mode"])
    refuse_idle_seed(settings["mode"])
    vae = load_sentence_vae(model)
    report_unknowns_in(vae, a, b, c)
    click.echo(printable(vae.analogy(a, b, c, **given_flags(settings))))
