"""`rondel score`: print the surprisal of each part of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import DependentOption
from rondel.cli.tables import format_option, write_table
from rondel.errors import InputError
from rondel.evaluation.framing import STARTS
from rondel.evaluation.grouping import UNITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rondel.api.language_model import LanguageModel
    from rondel.evaluation.scoring import Columns, ScoringSettings
    from rondel.text.tokenizers import Tokenizer

# Descriptions of a bidirectional model's context.
BIDIRECTIONAL_STARTS = {
    "newline": "with a line break before it",
    "skip": "with nothing before it",
    "context": "with the context before it",
}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option(
    "--by",
    type=click.Choice(UNITS),
    help="The unit of a row.  [default: token; line with --worst]",
)
@click.option(
    "--unit",
    type=click.Choice(["bits", "nats"]),
    default="bits",
    show_default=True,
    help="Unit of surprisal and entropy.",
)
@click.option("--reset", is_flag=True, help="Read each line independently, from the zero state.")
@click.option(
    "--start",
    type=click.Choice(STARTS),
    help="What the first token of a text, or of a line with --reset, is predicted from: newline, "
    "or nothing (skip: not scored).  [default: newline, if the model knows it]",
)
@click.option("--context", default="", help="Text to start from instead; read but not scored.")
@click.option("--end", is_flag=True, help="Score a line break at the end; added if missing.")
@click.option(
    "--worst",
    type=click.IntRange(min=1),
    help="Only print so many lines, those with the highest surprisal, as in the text.",
)
@click.option(
    "--worst-by",
    cls=DependentOption,
    goes_with=("worst",),
    type=click.Choice(["mean", "total"]),
    default="mean",
    show_default=True,
    help="With --worst: rank by surprisal per token, or of the whole line.",
)
@format_option
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Lines or texts per batch.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the texts.")
@click.option("--causal", is_flag=True, help="Score with a bidirectional model's causal half.")
@click.option("--quiet", is_flag=True, help="Print no summary on standard error.")
def command(
    model: Path,
    texts: tuple[str, ...],
    by: str | None,
    unit: str,
    reset: bool,
    start: str | None,
    context: str,
    end: bool,
    worst: int | None,
    worst_by: str,
    how: str,
    batch_size: int,
    encoding: str,
    causal: bool,
    quiet: bool,
) -> None:
    """Score each part of one or more texts with the model in the folder MODEL.

    Prints one row for each token, character, word, line or document: its position, its surprisal
    (negative log-probability), the entropy of the prediction, and the rank of the actual token.
    Each TEXT (a file, a folder, a glob, or - for standard input) is one document, read in order
    from the zero state with the state carried from line to line.

    A bidirectional model scores each token given all the others, before and after: these are
    pseudo-log-likelihoods, in columns named so, and cannot be compared with other models' figures.
    With --causal only its causal half scores, as a language model.
    """
    from rondel.api.load import load
    from rondel.cli.compile_notice import announce_compiling
    from rondel.cli.unknown_tokens import report_unknowns
    from rondel.evaluation.framing import Framing
    from rondel.evaluation.scoring import ScoringSettings

    if worst is not None and by not in (None, "line"):
        raise InputError("--worst lists lines; leave --by out")
    by = by or ("token" if worst is None else "line")
    announce_compiling()
    scorer = load(model)
    framing = Framing(start, end, context)
    settings = ScoringSettings(by, unit, reset, framing, batch_size, causal)
    table = _score(scorer, texts, encoding, settings)
    if context:
        report_unknowns(scorer.unknowns(context))
    if not quiet:
        _print_summary(scorer.tokenizer, table, settings)
    if worst is not None:
        table = _worst(table, worst, worst_by)
    write_table(table, how, escape=worst is None)


def _score(
    scorer: LanguageModel, texts: tuple[str, ...], encoding: str, settings: ScoringSettings
) -> Columns:
    """One table of all texts; if there are several, the column `document` names them."""
    import numpy as np

    from rondel.cli.progress_bar import ProgressBar
    from rondel.text.reading import read_document

    as_bytes = scorer.tokenizer.reads_bytes
    documents = [read_document(text, encoding, as_bytes=as_bytes) for text in texts]
    with ProgressBar() as waiting:
        tables = scorer.score_many([document.text for document in documents], settings, waiting)
    for document, table in zip(documents, tables, strict=True):
        for name in ("begin", "end"):
            table[name] = np.array(document.as_written(table[name].tolist()))
    joined = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    if len(texts) == 1:
        return joined
    names = np.repeat(np.array(texts, dtype=object), [len(table["line"]) for table in tables])
    return {"document": names, **joined}


def _print_summary(tokenizer: Tokenizer, table: Columns, settings: ScoringSettings) -> None:
    name = _surprisal_of(table)
    surprisal = table[name]
    tokens = int(table["tokens"].sum()) if "tokens" in table else len(surprisal)
    scored = int(table["scored"].sum()) if "scored" in table else int((~_missing(surprisal)).sum())
    total = float(surprisal[~_missing(surprisal)].sum())
    noun, unknown = tokenizer.token_noun, int(table["unknown"].sum())
    starts = {
        "newline": "the first predicted from a line break",
        "skip": "the first not scored",
        "context": "the first predicted from the context",
    }
    start = settings.framing.resolved_start(tokenizer)
    how = starts[start] + (" at each line" if settings.reset else "")
    unit = settings.unit
    if name.startswith("pseudo"):
        how = f"each given all others of its {'line' if settings.reset else 'text'}"
        how += f", {BIDIRECTIONAL_STARTS[start]} and nothing after"
        unit = f"{unit} of pseudo-log-likelihood"
    parts = [
        f"{scored:,} of {tokens:,} {noun}s scored, {total:,.2f} {unit}",
        how,
        "a line break at the end scored" if settings.framing.end else "no end added",
    ]
    if unknown and tokenizer.unknown_id is not None:
        parts.append(
            f"{unknown:,} unknown {noun}s scored as {tokenizer.token(tokenizer.unknown_id)!r}"
        )
    click.echo(f"rondel: {'; '.join(parts)}", err=True)


def _surprisal_of(table: Columns) -> str:
    """The name of the surprisal column."""
    return next(name for name in table if "surprisal_" in name)


def _worst(table: Columns, count: int, by: str) -> Columns:
    """The lines with the highest surprisal, highest first."""
    import numpy as np

    name = _surprisal_of(table)
    total = table[name]
    mean = total / np.maximum(table["scored"], 1)
    keys = mean if by == "mean" else total
    scored = np.flatnonzero(~_missing(total))
    worst = scored[np.argsort(-keys[scored], kind="stable")][:count]
    columns = {
        "line": table["line"],
        name: total,
        f"{name}_per_token": mean,
        "unknown": table["unknown"],
        "text": np.array([text.removesuffix("\n") for text in table["text"]], dtype=object),
    }
    if "document" in table:
        columns = {"document": table["document"], **columns}
    return {name: column[worst] for name, column in columns.items()}


def _missing(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    import numpy as np

    missing: NDArray[np.bool_] = np.isnan(numbers)
    return missing
