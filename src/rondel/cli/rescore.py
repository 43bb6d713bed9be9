"""`rondel rescore`: rescore n-best lists."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rondel.cli.tables import format_option, write_table
from rondel.evaluation.rescoring import LENGTHS

if TYPE_CHECKING:
    from rondel.evaluation.rescoring import Hypothesis
    from rondel.evaluation.score_rows import Columns


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("nbest")
@click.option("--weight", default=0.5, show_default=True, help="Weight of the model's score.")
@click.option(
    "--normalize",
    type=click.Choice(LENGTHS),
    default="none",
    show_default=True,
    help="Divide the model's score by the hypothesis' length in these; its end counts as one.",
)
@click.option(
    "--unknown-penalty",
    type=float,
    metavar="NATS",
    help="Subtract this from the model's score for each unknown word.  [default: 0, with a "
    "warning]  With N words unknown to the model, one of them has 1/N of the probability of <unk>: "
    "ln N, about 12, is a good value.",
)
@click.option("--costs", is_flag=True, help="First-pass scores are costs: lower is better.")
@click.option("--context", default="", help="Text before each hypothesis; read but not scored.")
@click.option("--best", is_flag=True, help="Print only the best hypothesis of each id.")
@format_option
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Hypotheses per batch.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of NBEST.")
@click.option("--quiet", is_flag=True, help="Print no summary on standard error.")
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
    """Rescore n-best lists with the model in the folder MODEL.

    NBEST is a file (or - for standard input) of lines of three tab-separated columns: an id shared
    by the hypotheses of one utterance, the first-pass score, higher is better, and the text, which
    may be empty. A first line "id score text" is skipped as a header. Prints each id's hypotheses,
    best first, by score = first pass + weight × the model's log-probability in nats, the end of the
    line included.
    """
    from rondel.api.load import load
    from rondel.cli.compile_notice import announce_compiling
    from rondel.cli.progress_bar import ProgressBar
    from rondel.cli.unknown_tokens import report_unknowns
    from rondel.evaluation.rescoring import parse_nbest, unknown_token_warning
    from rondel.kinds import kind_of
    from rondel.text.reading import read_text

    announce_compiling()
    scorer = load(model)
    name = "standard input" if nbest == "-" else nbest
    hypotheses = parse_nbest(read_text([nbest], encoding), name, costs=costs)
    if context:
        report_unknowns(scorer.unknowns(context))
    with ProgressBar() as waiting, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # reported above and below
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
        warning = unknown_token_warning(scorer.tokenizer, table)
        if unknown_penalty is None and warning is not None:
            click.echo(f"rondel: {warning}: --unknown-penalty NATS", err=True)
        _print_summary(scorer.tokenizer.token_noun, hypotheses, table)
    if best:
        table = {column: values[table["rank"] == 1] for column, values in table.items()}
    write_table(table, how, escape=False)


def _print_summary(noun: str, hypotheses: list[Hypothesis], table: Columns) -> None:
    first: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        if hypothesis.id not in first or hypothesis.score > first[hypothesis.id].score:
            first[hypothesis.id] = hypothesis
    top = table["rank"] == 1
    best = zip(table["id"][top], table["text"][top], strict=True)
    changed = sum(first[utterance].text != text for utterance, text in best)
    click.echo(
        f"rondel: {len(hypotheses):,} hypotheses of {len(first):,} ids, {changed:,} of which have "
        f"a new best hypothesis; {int(table['unknown'].sum()):,} unknown {noun}s",
        err=True,
    )
