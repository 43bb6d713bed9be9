"""`rondel rescore`: put n-best hypotheses into a new order."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rondel.cli.tables import FORMATS, write_table
from rondel.evaluation.rescoring import LENGTHS

if TYPE_CHECKING:
    from rondel.evaluation.rescoring import Hypothesis
    from rondel.evaluation.scoring import Columns


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("nbest")
@click.option(
    "--weight", default=0.5, show_default=True, help="Of the model's score beside the first pass's."
)
@click.option(
    "--normalize",
    type=click.Choice(LENGTHS),
    default="none",
    show_default=True,
    help="Divide the model's score by the hypothesis' length in these, its end counted as one.",
)
@click.option(
    "--unknown-penalty",
    type=float,
    metavar="NATS",
    help="Taken from the model's score for each unknown word (left out: 0, and their number is "
    "told). A word of N that the model does not know has 1/N of what <unk> has: ln N, about 12.",
)
@click.option("--costs", is_flag=True, help="Scores of the first pass are lower for better.")
@click.option("--context", default="", help="Text that each hypothesis follows, not scored.")
@click.option("--best", is_flag=True, help="Only the best of each id.")
@click.option(
    "--format",
    "how",
    type=click.Choice(FORMATS),
    default="tsv",
    show_default=True,
    help="How the table is written.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Hypotheses read side by side.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of NBEST.")
@click.option("--quiet", is_flag=True, help="Do not say on standard error what was done.")
def command(
    model: Path,
    nbest: str,
    weight: float,
    normalize: str,
    unknown_penalty: float | None,
    costs: bool,
    context: str,
    best: bool,
    how: str,
    batch_size: int,
    encoding: str,
    quiet: bool,
) -> None:
    """Put n-best hypotheses into a new order, with the help of the model in the folder MODEL.

    NBEST is a file (or - for standard input) of lines of three columns, parted by tabs: an id that
    the hypotheses of one utterance share, the first pass's score, higher for better, and the text,
    which may be empty. A first line that says "id score text" so is taken for a header.
    What comes out is each id's hypotheses, best first, by score = first pass + weight × the
    model's log-probability in nats, which includes that of the line's end.
    """
    from rondel.api.load import load
    from rondel.cli.compiling import tell_of_compiling
    from rondel.cli.describing import tell_of_unknowns
    from rondel.cli.waiting import Waiting
    from rondel.evaluation.rescoring import parse_nbest, unknown_token_warning
    from rondel.kinds import kind_of
    from rondel.text.reading import read_text

    tell_of_compiling()
    scorer = load(model)
    name = "standard input" if nbest == "-" else nbest
    hypotheses = parse_nbest(read_text([nbest], encoding), name, costs=costs)
    if context:
        tell_of_unknowns(scorer.unknowns(context))
    with Waiting() as waiting, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # told above and below
        table = scorer.rescore(
            hypotheses,
            weight=weight,
            normalize=normalize,
            unknown_penalty=unknown_penalty,
            context=context,
            batch_size=batch_size,
            watch=waiting,
        )
    if not quiet:
        kind = kind_of(scorer.config)
        if not kind.is_causal:
            click.echo(f"rondel: scored by the causal half of a {kind.noun}", err=True)
        if hypotheses[0].where != f"{name} line 1":
            click.echo(f"rondel: {name} line 1 is a header", err=True)
        complaint = unknown_token_warning(scorer.tokenizer, table)
        if unknown_penalty is None and complaint is not None:
            click.echo(f"rondel: {complaint}: --unknown-penalty NATS", err=True)
        _say_what_changed(scorer.tokenizer.token_noun, hypotheses, table)
    if best:
        table = {column: values[table["rank"] == 1] for column, values in table.items()}
    write_table(table, how, escape=False)


def _say_what_changed(noun: str, hypotheses: list[Hypothesis], table: Columns) -> None:
    first: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        if hypothesis.id not in first or hypothesis.score > first[hypothesis.id].score:
            first[hypothesis.id] = hypothesis
    top = table["rank"] == 1
    best = zip(table["id"][top], table["text"][top], strict=True)
    changed = sum(first[own_id].text != text for own_id, text in best)
    click.echo(
        f"rondel: {len(hypotheses):,} hypotheses of {len(first):,} ids, {changed:,} of which have "
        f"another best now; {int(table['unknown'].sum()):,} unknown {noun}s",
        err=True,
    )
