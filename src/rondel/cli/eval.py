"""`rondel eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.api import Model
    from rondel.evaluation.evaluate import Evaluation

SPLITS = ("train", "validation", "test")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", nargs=-1)
@click.option("--split", type=click.Choice(SPLITS), help="A part of the run's own text instead.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of TEXT.")
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def command(
    model: Path, text: tuple[str, ...], split: str | None, encoding: str, as_json: bool
) -> None:
    """Say how well the model in the folder MODEL predicts a text.

    The text is read in order, whole, with the state carried. Without TEXT it is the validation
    part of the run's own text, which a run's folder keeps.
    """
    from rondel.api import load

    if text and split:
        raise InputError("give either a TEXT or a --split, not both")
    judged = load(model)
    if text:
        figures = _evaluate_text(judged, text, encoding)
    else:
        figures = _evaluate_split(judged, model, split or "validation")
    if as_json:
        click.echo(json.dumps(figures.to_json()))
    else:
        _print(figures, judged.tokenizer.token_noun)


def _evaluate_text(model: Model, paths: tuple[str, ...], encoding: str) -> Evaluation:
    from rondel.cli.waiting import Waiting
    from rondel.text.reading import read_text

    text = read_text(paths, encoding, as_bytes=model.tokenizer.level == "byte")
    with Waiting() as waiting:
        return model.evaluate(text, waiting)


def _evaluate_split(model: Model, folder: Path, name: str) -> Evaluation:
    from rondel.cli.waiting import Waiting
    from rondel.data.store import TokenStore

    # The best model of a run lies in a folder inside the run's.
    places = [folder / "tokens", folder.resolve().parent / "tokens"]
    here = next((place for place in places if place.is_dir()), None)
    if here is None:
        raise InputError(f"{folder} was moved away from the text of its run; give it a TEXT")
    store = TokenStore.open(here)
    split = store.splits[name]
    if not split.tokens:
        raise InputError(
            f"this run kept no {name} part of its text; name another --split, or a TEXT"
        )
    with Waiting() as waiting:
        return model.evaluate_tokens(store.tokens(name), split.characters, waiting)


def _print(figures: Evaluation, token: str) -> None:
    rows = [
        (f"{figures.nats_per_token:.4f}", f"nats per {token}"),
        (f"{figures.bits_per_character:.4f}", "bits per character"),
        (f"{figures.perplexity:,.3f}", f"perplexity per {token}"),
        (f"{figures.tokens:,}", f"{token}s scored"),
        (f"{figures.characters:,}", "characters scored"),
        (f"{figures.unknown:,}", f"of the {token}s unknown, scored as <unk>"),
    ]
    if token == "character":
        del rows[4]
    width = max(len(number) for number, _ in rows)
    for number, unit in rows:
        click.echo(f"{number:>{width}}  {unit}")
