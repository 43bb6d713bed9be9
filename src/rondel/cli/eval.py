"""`rondel eval`: measure how well a model predicts a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rondel.cli.options import DependentOption, format_options
from rondel.cli.tables import per_word
from rondel.engine import PRECISIONS
from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.api.base import Model
    from rondel.api.bidirectional import BidirectionalModel
    from rondel.api.language_model import LanguageModel
    from rondel.evaluation.cache import Cache
    from rondel.evaluation.cloze import ClozeEvaluation
    from rondel.evaluation.dynamic_settings import DynamicSettings
    from rondel.evaluation.evaluate import Evaluation
    from rondel.evaluation.text_sources import RunSplit, TextFiles

SPLITS = ("train", "validation", "test")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", nargs=-1)
@click.option("--split", type=click.Choice(SPLITS), help="A split of the run's text instead.")
@format_options
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="fp32",
    show_default=True,
    help="; ".join(f"{name}: {meaning}" for name, meaning in PRECISIONS.items())
    + " (the change of the loss is printed)",
)
@click.option("--dynamic", is_flag=True, help="Dynamic evaluation: train on the scored text.")
@click.option(
    "--dynamic-rate",
    cls=DependentOption,
    goes_with=("dynamic",),
    type=float,
    help="Learning rate.  [default: 0.0003, or 0.02 without the training text]",
)
@click.option(
    "--dynamic-decay",
    cls=DependentOption,
    goes_with=("dynamic",),
    type=float,
    help="Decay towards the trained weights.  [default: 0.001]",
)
@click.option(
    "--dynamic-segment",
    cls=DependentOption,
    goes_with=("dynamic",),
    type=int,
    help="Tokens scored before each step.  [default: 20]",
)
@click.option("--cache", is_flag=True, help="Continuous cache of recent tokens.")
@click.option(
    "--cache-window",
    cls=DependentOption,
    goes_with=("cache",),
    type=int,
    help="Size of the cache in tokens.  [default: 2000]",
)
@click.option(
    "--cache-theta",
    cls=DependentOption,
    goes_with=("cache",),
    type=float,
    help="How much similar states are preferred.  [default: 0.3]",
)
@click.option(
    "--cache-weight",
    cls=DependentOption,
    goes_with=("cache",),
    type=float,
    help="Weight of the cache in the mixture.  [default: 0.1]",
)
@click.option(
    "--iw-samples",
    type=click.IntRange(min=1),
    help="Sentence VAEs: samples per sentence of the importance-weighted bound.  [default: 10]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(
    model: Path,
    text: tuple[str, ...],
    split: str | None,
    encoding: str,
    field: str | None,
    column: str | None,
    documents: str | None,
    precision: str,
    iw_samples: int | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Measure how well the model in the folder MODEL predicts a text.

    The whole text, of any size, is read in order, with the state carried, or with --documents each
    document from the zero state. Without TEXT, the validation split in the run's folder is read, as
    it was in training. A bidirectional model is evaluated twice: its causal half alone, and
    both sides together, by pseudo-log-likelihoods. A sentence VAE reads each line independently;
    bounds on its likelihood are printed, per sentence and per token.
    """
    from rondel.api.load import load
    from rondel.cli.compile_notice import announce_compiling
    from rondel.evaluation.text_sources import RunSplit, TextFiles
    from rondel.kinds import kind_of

    if text and split:
        raise InputError("give either a TEXT or a --split, not both")
    if not text and (field or column or documents):
        raise InputError("--field, --column and --documents say how a TEXT is read; give one")
    dynamic, cache = _dynamic_or_cache(flags)
    if dynamic is not None and precision != "fp32":
        raise click.UsageError(f"--dynamic trains the model, which --precision {precision} cannot")
    announce_compiling()
    loaded = load(model, precision=precision)
    source: TextFiles | RunSplit = RunSplit(split or "validation")
    if text:
        source = TextFiles(list(text), encoding, field, column, documents)
    request = EvalRequest(model, source, precision, iw_samples, dynamic, cache, as_json)
    kind_of(loaded.config).eval_command(loaded, request)


class EvalRequest(NamedTuple):
    """What to evaluate, how to evaluate it, and how to print the figures."""

    folder: Path
    source: TextFiles | RunSplit
    precision: str
    iw_samples: int | None
    dynamic: DynamicSettings | None
    cache: Cache | None
    as_json: bool

    @property
    def reads_documents(self) -> bool:
        """Whether each document of a text is to be read from the zero state."""
        return getattr(self.source, "documents", None) is not None

    @contextmanager
    def opened(self, model: Model) -> Iterator[TextFiles | RunSplit]:
        """The text, read once for all that is done with it, or the split of a run."""
        from rondel.evaluation.text_sources import RunSplit

        if isinstance(self.source, RunSplit):
            yield self.source
            return
        with self.source.opened(as_bytes=model.tokenizer.reads_bytes) as files:
            yield files


def evaluate_text(loaded: LanguageModel, request: EvalRequest) -> None:
    """Print a language model's evaluation."""
    with request.opened(loaded) as source:
        figures, exact = _causal_figures(loaded, request, source)
    _print_figures(figures, exact, None, loaded.tokenizer.token_noun, request.as_json)


def evaluate_both_sides(loaded: BidirectionalModel, request: EvalRequest) -> None:
    """Print the evaluation of a bidirectional model's causal half, and of both sides together."""
    from rondel.cli.progress_bar import ProgressBar

    with request.opened(loaded) as source:
        figures, exact = _causal_figures(loaded, request, source)
        with ProgressBar() as waiting:
            cloze = loaded.evaluate_cloze(source, waiting)
    _print_figures(figures, exact, cloze, loaded.tokenizer.token_noun, request.as_json)


def _causal_figures(
    loaded: LanguageModel, request: EvalRequest, source: TextFiles | RunSplit
) -> tuple[Evaluation, Evaluation | None]:
    """The figures, and those at full precision if the model is not."""
    from rondel.api.load import load
    from rondel.cli.progress_bar import ProgressBar

    if request.iw_samples is not None:
        raise InputError(f"{request.folder} is not a sentence VAE: leave out --iw-samples")
    exact = None
    with ProgressBar() as waiting:
        figures = loaded.evaluate(source, waiting, cache=request.cache, dynamic=request.dynamic)
        if request.precision != "fp32":
            full = load(request.folder)
            exact = full.evaluate(source, waiting, cache=request.cache)
    return figures, exact


def _dynamic_or_cache(flags: dict[str, Any]) -> tuple[DynamicSettings | None, Cache | None]:
    """The settings of dynamic evaluation and of the cache, `None` if not wanted."""
    from rondel.evaluation.cache import Cache
    from rondel.evaluation.dynamic_settings import DynamicSettings

    if flags["dynamic"] and flags["cache"]:
        raise click.UsageError("--dynamic and --cache: one at a time")
    chosen: dict[str, dict[str, Any]] = {}
    for what in ("dynamic", "cache"):
        given = {
            name.removeprefix(f"{what}_"): value
            for name, value in flags.items()
            if name.startswith(f"{what}_") and value is not None
        }
        chosen[what] = given
    return (
        DynamicSettings(**chosen["dynamic"]) if flags["dynamic"] else None,
        Cache(**chosen["cache"]) if flags["cache"] else None,
    )


def _print_figures(
    figures: Evaluation,
    exact: Evaluation | None,
    cloze: ClozeEvaluation | None,
    token: str,
    as_json: bool,
) -> None:
    """Print the figures, with `cloze` both those of the causal half and of both sides.

    `exact` are the figures at full precision, if the model is not.
    """
    cost = 0.0 if exact is None else figures.nats_per_token - exact.nats_per_token
    if as_json:
        values: dict[str, Any] = figures.to_json()
        if exact is not None:
            values["precision_costs_nats_per_token"] = cost
        if cloze is not None:
            values = {"causal": values, "cloze": cloze.to_json()}
        click.echo(json.dumps(values))
    elif cloze is None:
        cost_rows = [(f"{cost:+.5f}", f"nats per {token} compared with fp32")]
        _print_rows(_rows(figures, token) + (cost_rows if exact is not None else []))
    else:
        click.echo(f"the causal half, each {token} given those before it:")
        _print_rows(_rows(figures, token))
        click.echo(f"both sides, each {token} given all others (not comparable with the above):")
        _print_rows(_cloze_rows(cloze, token))


def _rows(figures: Evaluation, token: str) -> list[tuple[str, str]]:
    rows = [
        (f"{figures.nats_per_token:.4f}", f"nats per {token}"),
        (f"{figures.bits_per_character:.4f}", "bits per character"),
        (f"{figures.perplexity:,.3f}", f"perplexity per {token}"),
        (per_word(figures.perplexity_per_word, 3), "perplexity per word between white space"),
        (f"{figures.tokens:,}", f"{token}s scored"),
        (f"{figures.characters:,}", "characters scored"),
        (f"{figures.words:,}", "words between white space scored"),
        (f"{figures.unknown:,}", f"of the {token}s unknown, scored as <unk>"),
    ]
    if token == "character":
        del rows[5]
    return rows


def _cloze_rows(figures: ClozeEvaluation, token: str) -> list[tuple[str, str]]:
    return [
        (f"{figures.pseudo_nats_per_token:.4f}", f"nats of pseudo-log-likelihood per {token}"),
        (f"{figures.pseudo_bits_per_character:.4f}", "bits of pseudo-log-likelihood per character"),
        (f"{figures.pseudo_perplexity:,.3f}", f"pseudo-perplexity per {token}"),
        (f"{figures.tokens:,}", f"{token}s scored"),
    ]


def _print_rows(rows: list[tuple[str, str]]) -> None:
    width = max(len(number) for number, _ in rows)
    for number, unit in rows:
        click.echo(f"{number:>{width}}  {unit}")
