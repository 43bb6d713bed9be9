"""`rondel example-tokens`: show how a model cuts a text into tokens."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text")
@click.option("--ids", is_flag=True, help="Write the tokens' numbers too.")
def command(model: Path, text: str, ids: bool) -> None:
    """Show how a model cuts a text into tokens, one a line."""
    # Imported here, so that `rondel --help` does not wait for it.
    import rondel
    from rondel.text.tokenizers.base import texts_of

    tokenizer = rondel.load(model).tokenizer
    pieces = texts_of(text, tokenizer.spans(text))
    for token_id, piece in zip(tokenizer.encode(text).tolist(), pieces, strict=True):
        click.echo(f"{token_id}\t{piece!r}" if ids else repr(piece))
