"""`rondel vectors`: write a model's word vectors, or list nearest neighbours."""

from __future__ import annotations

from pathlib import Path

import click

from rondel.cli.options import DependentOption, check_out, overwrite_option
from rondel.cli.tables import format_option, write_table


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file to write, in word2vec's format."
)
@overwrite_option
@click.option(
    "--binary",
    cls=DependentOption,
    goes_with=("out",),
    is_flag=True,
    help="Write --out in the binary format, not as text.",
)
@click.option(
    "--neighbors",
    metavar="WORD",
    multiple=True,
    help="List the words nearest to WORD by cosine; may be given several times.",
)
@click.option(
    "--count",
    cls=DependentOption,
    goes_with=("neighbors",),
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Neighbours to list for each word.",
)
@format_option
def command(
    model: Path,
    out: Path | None,
    overwrite: bool,
    binary: bool,
    neighbors: tuple[str, ...],
    count: int,
    how: str,
) -> None:
    """Write the embedding of the model in the folder MODEL as word vectors, or search it.

    Without --out and --neighbors, the vectors are printed as text. Words are spelled as in the
    vocabulary: with a joiner ￭ where punctuation is attached to a word, and white space as <U+0020>
    (a space) or <U+000A> (a line break). `rondel train --word-vectors` and gensim's KeyedVectors
    read the file.
    """
    import numpy as np

    from rondel.api.load import load
    from rondel.text.word2vec import word2vec_bytes

    check_out(out, overwrite)
    vectors = load(model).vectors()
    found = [(word, *near) for word in neighbors for near in vectors.nearest(word, count)]
    if out is not None:
        vectors.save(out, binary=binary)
        click.echo(f"{len(vectors.words):,} vectors of {vectors.size} numbers in {out}", err=True)
    elif not neighbors:
        click.echo(word2vec_bytes(vectors.words, vectors.array), nl=False)
    if neighbors:
        words, nearest, cosines = zip(*found, strict=True) if found else ((), (), ())
        write_table(
            {
                "word": np.array(words, object),
                "neighbor": np.array(nearest, object),
                "cosine": np.array(cosines, np.float64),
            },
            how,
        )
