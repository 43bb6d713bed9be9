"""`rondel export`: write a model as one web page, or in another format."""

from __future__ import annotations

from pathlib import Path

import click

from rondel.exporters import exporters
from rondel.exporters.base import ALL_PRECISIONS


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "how",
    type=click.Choice(list(exporters)),
    required=True,
    help="; ".join(f"{name}: {exporter.help}" for name, exporter in exporters.items()),
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The file or folder to write."
)
@click.option(
    "--precision",
    type=click.Choice(ALL_PRECISIONS),
    help="How weights are stored: fp16 takes half of fp32's room and int8 a quarter, and texts "
    "differ a little from those of the model.  [default: fp32]",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at --out.")
def command(model: Path, how: str, out: Path, precision: str | None, overwrite: bool) -> None:
    """Write the model in the folder MODEL in another format.

    \b
      rondel export runs/book/best --to html --out poems.html

    The page has the model in it, and writes in any browser, from disk and without a network: the
    same text as `rondel sample` for the same seed.
    """
    from rondel import artifact
    from rondel.exporters.base import check_place, export

    check_place(out, overwrite=overwrite)
    parts = artifact.load(model)
    export(
        parts,
        out,
        how,
        name=artifact.shown_name(model),
        precision=precision,
        overwrite=overwrite,
        announce=lambda size: click.echo(f"{size:,} bytes: {artifact.describe(parts)}", err=True),
    )
    click.echo(f"{out} is written", err=True)
