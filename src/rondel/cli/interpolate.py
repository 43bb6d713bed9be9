"""`rondel interpolate`: walk between sentences in the space of a sentence VAE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rondel.cli.options import SectionedCommand, refuse_without_effect
from rondel.cli.printing import printable
from rondel.cli.sentences import open_sentence_vae, tell_of_unknowns_in, told, writing_options


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option(
    "--steps", type=click.IntRange(min=2), default=8, show_default=True, help="Both ends included."
)
@click.option("--spherical", is_flag=True, help="Along an arc around the middle, not a line.")
@click.option("--json", "as_json", is_flag=True, help="The steps as one JSON list.")
@writing_options
def command(
    model: Path,
    a: str | None,
    b: str | None,
    steps: int,
    spherical: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Walk from sentence A to sentence B in the latent space of the sentence VAE in MODEL.

    Without sentences, from one random point to another. Each line has how far along it is and the
    sentence there; one that is the same as that before it is marked with =.

    \b
      rondel interpolate runs/vae "a dog on a beach" "two men at a table" --steps 8
    """
    refuse_without_effect(settings["mode"])
    vae = open_sentence_vae(model)
    tell_of_unknowns_in(vae, *(end for end in (a, b) if end is not None))
    walked = vae.interpolate(a, b, steps=steps, spherical=spherical, **told(settings))
    if as_json:
        click.echo(json.dumps([step._asdict() for step in walked]))
        return
    for step in walked:
        click.secho(f"{step.share:.2f} {'=' if step.again else ' '} ", dim=True, nl=False)
        click.secho(printable(step.text), dim=step.again)
