"""`rondel score`: print the surprisal of each part of a text."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import DependentOption, format_options, overwrite_option
from rondel.cli.score_output import FileOutput, Output, StandardOutput, refuse_existing
from rondel.cli.tables import encoded_table, format_option, write_table
from rondel.errors import InputError
from rondel.evaluation.framing import STARTS
from rondel.evaluation.grouping import UNITS

if TYPE_CHECKING:
    from rondel.api.language_model import LanguageModel
    from rondel.evaluation.batch_reading import Watch
    from rondel.evaluation.score_rows import Columns
    from rondel.evaluation.scoring import MakeReader, Point, Scored, ScoringSettings
    from rondel.text.stored import StoredText
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
@format_options
@click.option("--causal", is_flag=True, help="Score with a bidirectional model's causal half.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the table to a new FILE."
)
@click.option(
    "--resume-from",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Go on with the unfinished FILE of an earlier --out, where it stopped.",
)
@overwrite_option
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
    causal: bool,
    out: Path | None,
    resume_from: Path | None,
    overwrite: bool,
    quiet: bool,
    **text_format: Any,
) -> None:
    """Score each part of one or more texts with the model in the folder MODEL.

    Prints one row for each token, character, word, line or document: its position, its surprisal
    (negative log-probability), the entropy of the prediction, and the rank of the actual token.
    Each TEXT (a file, a folder, a glob, or - for standard input) is one document, or with
    --documents several, read in order from the zero state with the state carried from line to line.
    Texts may be of any size, and rows are written as they are made.

    A bidirectional model scores each token given all the others, before and after: these are
    pseudo-log-likelihoods, in columns named so, and cannot be compared with other models' figures.
    With --causal only its causal half scores, as a language model.
    """
    from rondel.api.load import load
    from rondel.cli.compile_notice import announce_compiling
    from rondel.cli.unknown_tokens import report_unknowns
    from rondel.evaluation.framing import Framing
    from rondel.evaluation.scoring import ScoringSettings
    from rondel.evaluation.text_sources import TextFiles

    _refuse_conflicts(by, worst, out, resume_from)
    if out is not None and not overwrite:
        refuse_existing(out)
    announce_compiling()
    scorer = load(model)
    if worst is not None:
        by = "line"
    settings = ScoringSettings(
        by or "token", unit, reset, Framing(start, end, context), batch_size, causal
    )
    with ExitStack() as opened:
        as_bytes = scorer.tokenizer.reads_bytes
        files = [TextFiles(text, **text_format) for text in texts]
        make = scorer.score_reader(settings)
        stored = [
            opened.enter_context(file.stored(as_bytes=as_bytes, keep_places=True)) for file in files
        ]
        scoring = _Scoring(scorer, make, texts, stored, settings)
        file = out or resume_from
        if worst is not None:
            _write_worst(scoring.worst(worst, worst_by), how, out)
        elif file is None:
            scoring.write(StandardOutput(), how, shows_progress=not sys.stdout.isatty())
        else:
            parts = scoring.parts(how, text_format)
            resumed = resume_from is not None
            with FileOutput(file, parts, resumed=resumed, overwrite=overwrite) as output:
                scoring.write(output, how, shows_progress=True)
    if context:
        report_unknowns(scorer.unknowns(context))
    if not quiet:
        _print_summary(scorer.tokenizer, scoring.totals, settings)


def _refuse_conflicts(
    by: str | None, worst: int | None, out: Path | None, resume_from: Path | None
) -> None:
    if worst is not None and by not in (None, "line"):
        raise InputError("--worst lists lines; leave --by out")
    if worst is not None and resume_from is not None:
        raise InputError("--worst writes nothing before its end: score anew with --out")
    if out is not None and resume_from is not None:
        raise click.UsageError("--out and --resume-from: one at a time, each names the file")


def _write_worst(table: Columns, how: str, out: Path | None) -> None:
    from rondel.files import write_atomically

    if out is None:
        write_table(table, how, escape=False)
    else:
        write_atomically(out, b"".join(encoded_table(table, how, escape=False)))


@dataclass
class _Totals:
    """What was scored so far: `sum` is the surprisal, whose column has the name `column`."""

    tokens: int = 0
    scored: int = 0
    unknown: int = 0
    sum: float = 0.0
    column: str = ""

    def add(self, table: Columns) -> None:
        """Count the rows of a table."""
        import numpy as np

        self.column = _surprisal_of(table)
        surprisal = table[self.column]
        scored = ~np.isnan(surprisal)
        self.tokens += int(table["tokens"].sum()) if "tokens" in table else len(surprisal)
        self.scored += int(table["scored"].sum()) if "scored" in table else int(scored.sum())
        self.unknown += int(table["unknown"].sum())
        self.sum += float(surprisal[scored].sum())


class _Scoring:
    """The tables of several texts, part by part, and what they sum up to."""

    def __init__(
        self,
        scorer: LanguageModel,
        make: MakeReader,
        names: tuple[str, ...],
        texts: list[StoredText],
        settings: ScoringSettings,
    ) -> None:
        self._scorer, self._make, self._names, self._texts = scorer, make, names, texts
        self._settings, self.totals = settings, _Totals()

    def parts(self, how: str, text_format: dict[str, Any]) -> dict[str, str]:
        """The sums of what a table is made of, as `FileOutput` takes them."""
        from rondel.artifact import digest
        from rondel.files import sum_of_file
        from rondel.folder_files import checksum
        from rondel.text.tokenizers import tokenizer_to_json

        text_sum = hashlib.blake2b()
        for text in self._texts:
            for block in text.blocks():
                text_sum.update(block)
            sums = [sum_of_file(path) if path else "" for path in (text.documents, text.pairs)]
            text_sum.update(f"{text.size} {text.mark} {sums}".encode())
        model = self._scorer
        config, tokenizer = dataclasses.asdict(model.config), tokenizer_to_json(model.tokenizer)
        names = self._names if len(self._names) > 1 else ()
        options = dataclasses.asdict(self._settings), how, text_format, names
        return {
            "another text": text_sum.hexdigest(),
            "another model": digest(model.weights, checksum(config, tokenizer)),
            "other options": checksum(*options),
        }

    def write(self, output: Output, how: str, *, shows_progress: bool) -> None:
        """Write the tables, from where the output stands."""
        from rondel.evaluation.score_points import point_from_json
        from rondel.evaluation.scoring import START

        point = START
        if output.point:
            self.totals = _Totals(**output.point["totals"])
            point = point_from_json(output.point["point"])
        for table, part in self._tables(point, shows_progress=shows_progress):
            if table:
                header = not self.totals.column
                self.totals.add(table)
                output.write(encoded_table(_with_whole_ranks(table), how, header=header))
            if part.point is not None:
                totals = dataclasses.asdict(self.totals)
                output.mark(functools.partial(_as_json, part.point, totals))

    def worst(self, count: int, by: str) -> Columns:
        """The lines with the highest surprisal, highest first."""
        from rondel.evaluation.score_rows import joined, object_array
        from rondel.evaluation.scoring import START

        worst: Columns = {}
        for table, _ in self._tables(START, shows_progress=True):
            if table:
                self.totals.add(table)
                worst = _worst(joined([worst, _with_means(table)]), count, by)
        texts = [str(text).removesuffix("\n") for text in worst["text"]]
        return {**worst, "text": object_array(texts)}

    def _tables(self, point: Point, *, shows_progress: bool) -> Iterator[tuple[Columns, Scored]]:
        """Each part, and its table; of several texts, the column `document` has their names."""
        import numpy as np

        from rondel.cli.progress_bar import ProgressBar
        from rondel.evaluation.batch_reading import unwatched
        from rondel.evaluation.scoring import score_texts, with_places

        make, tokenizer = self._make, self._scorer.tokenizer
        bar: AbstractContextManager[Watch] = nullcontext(unwatched)
        if shows_progress:
            bar = ProgressBar()
        with bar as waiting:
            for part in score_texts(make, tokenizer, self._texts, self._settings, waiting, point):
                table = with_places(part, self._texts[part.text]) if part.table else {}
                if table and len(self._names) > 1:
                    names = np.full(len(table["line"]), self._names[part.text], dtype=object)
                    table = {"document": names, **table}
                yield table, part
        for text in self._texts:
            text.check_unchanged()


def _print_summary(tokenizer: Tokenizer, totals: _Totals, settings: ScoringSettings) -> None:
    noun = tokenizer.token_noun
    starts = {
        "newline": "the first predicted from a line break",
        "skip": "the first not scored",
        "context": "the first predicted from the context",
    }
    start = settings.framing.resolved_start(tokenizer)
    how = starts[start] + (" at each line" if settings.reset else "")
    unit = settings.unit
    if totals.column.startswith("pseudo"):
        how = f"each given all others of its {'line' if settings.reset else 'text'}"
        how += f", {BIDIRECTIONAL_STARTS[start]} and nothing after"
        unit = f"{unit} of pseudo-log-likelihood"
    parts = [
        f"{totals.scored:,} of {totals.tokens:,} {noun}s scored, {totals.sum:,.2f} {unit}",
        how,
        "a line break at the end scored" if settings.framing.end else "no end added",
    ]
    if totals.unknown and tokenizer.unknown_id is not None:
        unknown = tokenizer.token(tokenizer.unknown_id)
        parts.append(f"{totals.unknown:,} unknown {noun}s scored as {unknown!r}")
    click.echo(f"rondel: {'; '.join(parts)}", err=True)


def _as_json(point: Point, totals: dict[str, Any]) -> dict[str, Any]:
    """How to go on, as JSON values."""
    from rondel.evaluation.score_points import point_to_json

    return {"point": point_to_json(point), "totals": totals}


def _surprisal_of(table: Columns) -> str:
    """The name of the surprisal column."""
    return next(name for name in table if "surprisal_" in name)


def _with_whole_ranks(table: Columns) -> Columns:
    """With ranks as whole numbers, though some of the table's are missing."""
    from rondel.evaluation.score_rows import object_array

    name = "rank" if "rank" in table else "worst_rank"
    if table[name].dtype.kind != "f":
        return table
    ranks = [rank if rank != rank else int(rank) for rank in table[name].tolist()]
    return {**table, name: object_array(ranks)}


def _with_means(table: Columns) -> Columns:
    """The columns that are shown of the worst lines."""
    import numpy as np

    name = _surprisal_of(table)
    own = [key for key in ("document", "number") if key in table]
    return {
        **{key: table[key] for key in own},
        "line": table["line"],
        name: table[name],
        f"{name}_per_token": table[name] / np.maximum(table["scored"], 1),
        "unknown": table["unknown"],
        "text": table["text"],
    }


def _worst(table: Columns, count: int, by: str) -> Columns:
    """The lines with the highest surprisal, highest first, then in the text's order."""
    import numpy as np

    name = _surprisal_of(table)
    keys = table[f"{name}_per_token" if by == "mean" else name]
    scored = np.flatnonzero(~np.isnan(keys))
    worst = scored[np.argsort(-keys[scored], kind="stable")][:count]
    return {name: column[worst] for name, column in table.items()}
