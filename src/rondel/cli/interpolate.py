"""`rondel interpolate`: interpolate between sentences in a sentence VAE's latent space."""

from __future__ import annotations

import json
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
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    default=8,
    show_default=True,
    help="Sentences, ends included.",
)
@click.option("--spherical", is_flag=True, help="Interpolate along an arc around the origin.")
@click.option("--json", "as_json", is_flag=True, help="Print the steps as one JSON list.")
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
    """Interpolate from sentence A to sentence B in the latent space of the sentence VAE in MODEL.

    Without sentences, interpolates between two random points. Each line has its position from 0 to
    1 and the sentence there; = marks a sentence equal to the previous one.

    \b
      rondel interpolate runs/vae "a dog on a beach" "two men at a table" --steps 8
    """
    refuse_without_effect(settings["mode"])
    if a is not None:
        refuse_idle_seed(settings["mode"])
    vae = load_sentence_vae(model)
    report_unknowns_in(vae, *(end for end in (a, b) if end is not None))
    path = vae.interpolate(a, b, steps=steps, spherical=spherical, **given_flags(settings))
    if as_json:
        click.echo(json.dumps([step._asdict() for step in path]))
        return
    for step in path:
        click.secho(f"{step.share:.2f} {'=' if step.again else ' '} ", dim=True, nl=False)
        click.secho(printable(step.text), dim=step.again)
