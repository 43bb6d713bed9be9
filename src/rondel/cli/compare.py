"""`rondel compare`: compare models on one text, with n-gram models as baselines."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rondel.cli.options import format_options
from rondel.cli.tables import per_word
from rondel.data.store import TokenStore
from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.api.language_model import LanguageModel
    from rondel.evaluation.evaluate import Evaluation
    from rondel.evaluation.text_blocks import Blocks
    from rondel.evaluation.text_sources import TextFiles


class Row(NamedTuple):
    """A model's evaluation, and those of the n-gram models compared with it, by order."""

    folder: Path
    level: str
    figures: Evaluation
    baseline: dict[int, Evaluation]


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on", "texts", multiple=True, required=True, metavar="TEXT", help="The text; may be repeated."
)
@click.option(
    "--baseline",
    "baseline_texts",
    multiple=True,
    metavar="TEXT",
    help="Count the n-grams in this text instead of each run's training text.",
)
@click.option("--no-baseline", is_flag=True, help="Skip the n-gram models.")
@format_options
@click.option("--json", "as_json", is_flag=True, help="Every figure, as JSON.")
def command(
    models: tuple[Path, ...],
    texts: tuple[str, ...],
    baseline_texts: tuple[str, ...],
    no_baseline: bool,
    as_json: bool,
    **text_format: Any,
) -> None:
    """Evaluate the MODELS on the same text, of any size, in one table.

    Compare models with different tokens by bits per character and by perplexity per word, if they
    know all words of the text. Each row also has the best of the n-gram models of orders 1 to 6
    (interpolated Kneser-Ney) with the same tokens, counted in the run's training text, as a
    baseline.
    """
    from rondel.cli.compile_notice import announce_compiling

    if baseline_texts and no_baseline:
        raise click.UsageError("--baseline and --no-baseline: one at a time")
    announce_compiling()
    with ExitStack() as opened:
        read = _Reader(opened, text_format)
        rows = [_row(folder, texts, baseline_texts, read, no_baseline) for folder in models]
    if as_json:
        click.echo(json.dumps([_facts(row) for row in rows]))
    else:
        _print(rows)


def _row(
    folder: Path,
    texts: tuple[str, ...],
    baseline_texts: tuple[str, ...],
    read: _Reader,
    no_baseline: bool,
) -> Row:
    from rondel.api.load import load
    from rondel.cli.progress_bar import ProgressBar
    from rondel.evaluation.baseline import evaluate_ngrams
    from rondel.kinds import kind_of

    model = load(folder)
    kind = kind_of(model.config)
    if not kind.is_causal:
        raise InputError(
            f"{folder} is a {kind.noun}, whose figures cannot be compared with others; leave it out"
        )
    text = read(model, texts)
    with ProgressBar() as waiting:
        figures = model.evaluate(text, waiting)
    baseline: dict[int, Evaluation] = {}
    if not no_baseline:
        training = _training_blocks(model, folder, baseline_texts, read)
        baseline = evaluate_ngrams(model.tokenizer, training, read.blocks(model, texts))
    return Row(folder, model.tokenizer.level, figures, baseline)


def _training_blocks(
    model: LanguageModel, folder: Path, baseline_texts: tuple[str, ...], read: _Reader
) -> Blocks:
    from rondel.evaluation.token_blocks import TokenBlocks

    if baseline_texts:
        return read.blocks(model, baseline_texts)
    store = TokenStore.of_model(folder, model.config.vocab_size)
    if store is None:
        raise InputError(
            f"{folder} was moved away from the text of its run; name a text to count n-grams in "
            "with --baseline, or skip them with --no-baseline"
        )
    return TokenBlocks.of_split(model.tokenizer, store, "train", with_text=False)


class _Reader:
    """Reads texts for models, each once, since standard input can be read only once."""

    def __init__(self, opened: ExitStack, text_format: dict[str, Any]) -> None:
        self._opened, self._format = opened, text_format
        self._known: dict[tuple[tuple[str, ...], bool], TextFiles] = {}
        self._stdin_is_read = False

    def __call__(self, model: LanguageModel, texts: tuple[str, ...]) -> TextFiles:
        from rondel.evaluation.text_sources import TextFiles
        from rondel.text.reading import STDIN

        as_bytes = model.tokenizer.reads_bytes
        if (texts, as_bytes) not in self._known:
            if STDIN in texts and self._stdin_is_read:
                raise InputError(
                    "standard input can be read only once, as bytes or as text; give a file instead"
                )
            self._stdin_is_read |= STDIN in texts
            files = TextFiles(list(texts), **self._format)
            opened = self._opened.enter_context(files.opened(as_bytes=as_bytes))
            self._known[texts, as_bytes] = opened
        return self._known[texts, as_bytes]

    def blocks(self, model: LanguageModel, texts: tuple[str, ...]) -> Blocks:
        """The blocks of texts, to be evaluated."""
        from rondel.evaluation.evaluate import text_blocks

        with self(model, texts).stored(as_bytes=model.tokenizer.reads_bytes) as stored:
            return text_blocks(model.tokenizer, [stored])


def _facts(row: Row) -> dict[str, Any]:
    return {
        "model": str(row.folder),
        "level": row.level,
        **row.figures.to_json(),
        "ngrams": {str(order): figures.to_json() for order, figures in row.baseline.items()},
    }


def _print(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    # Wide enough if there is no terminal.
    console = Console(width=None if Console().is_terminal else 160)
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("model", overflow="fold")
    table.add_column("token")
    for name in ("nats/token", "perplexity/token", "bits/character", "perplexity/word"):
        table.add_column(name, justify="right")
    for name in ("tokens", "unknown"):
        table.add_column(name, justify="right")
    if any(row.baseline for row in rows):
        table.add_column("n-gram bits/character", justify="right")
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)


def _cells(row: Row) -> list[str]:
    figures = row.figures
    cells = [
        str(row.folder),
        row.level,
        f"{figures.nats_per_token:.4f}",
        f"{figures.perplexity:,.3f}",
        f"{figures.bits_per_character:.4f}",
        per_word(figures.perplexity_per_word, 1),
        f"{figures.tokens:,}",
        f"{figures.unknown:,}",
    ]
    if row.baseline:
        order = min(row.baseline, key=lambda order: row.baseline[order].nats)
        cells.append(f"{row.baseline[order].bits_per_character:.4f} (n = {order})")
    return cells
