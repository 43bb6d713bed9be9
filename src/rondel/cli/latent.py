"""`rondel latent`: draw the latent space of a sentence VAE as an interactive page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rondel.cli.options import check_out, overwrite_option
from rondel.cli.sentence_vae_options import load_sentence_vae, readable_lines
from rondel.errors import InputError
from rondel.generation.landscape import PROJECTIONS

if TYPE_CHECKING:
    from rondel.api.sentence_vae import SentenceVAE


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The page to write.")
@overwrite_option
@click.option(
    "--projection",
    type=click.Choice(list(PROJECTIONS)),
    default="pca",
    show_default=True,
    help="; ".join(f"{name}: {meaning}" for name, meaning in PROJECTIONS.items()),
)
@click.option(
    "--most",
    type=click.IntRange(min=3),
    default=5000,
    show_default=True,
    help="Most sentences to show; of more, a random subset.",
)
@click.option(
    "--landmarks",
    type=click.IntRange(2, 100),
    default=24,
    show_default=True,
    help="Sentences with decoded paths between each pair.",
)
@click.option(
    "--steps", type=click.IntRange(2, 50), default=8, show_default=True, help="Steps of a path."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed for the choice of sentences and landmarks.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of TEXT.")
def command(
    model: Path,
    text: tuple[str, ...],
    out: Path,
    overwrite: bool,
    projection: str,
    most: int,
    landmarks: int,
    steps: int,
    seed: int,
    encoding: str,
) -> None:
    """Draw the sentences of TEXT, one a line, in the latent space of the sentence VAE in MODEL.

    The page is one file that works offline: point at a sentence to read it, search, click two to
    see the path between them. Paths are decoded in advance, between the landmarks.
    """
    from rondel.artifact import shown_name
    from rondel.cli.progress_bar import ProgressBar
    from rondel.files import write_atomically
    from rondel.pages import fill_page
    from rondel.text.reading import read_text

    if out.is_dir() or not out.parent.is_dir():
        what = "is a folder" if out.is_dir() else "is in a folder that does not exist"
        raise InputError(f"{out} {what}; name a file that can be written, such as latent.html")
    check_out(out, overwrite)
    vae = load_sentence_vae(model)
    lines = read_text(text, encoding, as_bytes=vae.tokenizer.reads_bytes).splitlines()
    sentences = _choose_sentences(vae, lines, most, seed)
    with ProgressBar() as waiting:
        facts = vae.landscape(
            sentences,
            projection=projection,
            landmarks=landmarks,
            steps=steps,
            seed=seed,
            watch=waiting,
        )
    facts |= {"model": shown_name(model), "source": ", ".join(Path(t).name for t in text)}
    write_atomically(out, fill_page("latent.html", facts).encode("utf-8"))
    click.echo(f"{len(sentences):,} sentences in {out}; open it in a browser")


def _choose_sentences(vae: SentenceVAE, lines: list[str], most: int, seed: int) -> list[str]:
    """At most `most` distinct sentences that the model can read, in order."""
    import numpy as np

    sentences = readable_lines(vae, dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(sentences) <= most:
        return sentences
    chosen = np.sort(np.random.default_rng(seed).choice(len(sentences), most, replace=False))
    return [sentences[i] for i in chosen]
