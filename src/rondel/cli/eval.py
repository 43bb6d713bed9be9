"""`rondel eval`: say how well a model predicts a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rondel.cli.options import DependentOption
from rondel.cli.runs import open_store
from rondel.cli.tables import per_word
from rondel.data.store import TokenStore
from rondel.engine import PRECISIONS
from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.api.base import Model
    from rondel.api.bidirectional import BidirectionalModel
    from rondel.api.language_model import LanguageModel
    from rondel.data.store import Ids
    from rondel.evaluation.cache import Cache
    from rondel.evaluation.cloze import ClozeEvaluation
    from rondel.evaluation.dynamic_settings import DynamicSettings
    from rondel.evaluation.evaluate import Evaluation

SPLITS = ("train", "validation", "test")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", nargs=-1)
@click.option("--split", type=click.Choice(SPLITS), help="A part of the run's own text instead.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of TEXT.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="fp32",
    show_default=True,
    help="; ".join(f"{name}: {meaning}" for name, meaning in PRECISIONS.items())
    + " (what that costs is told)",
)
@click.option("--dynamic", is_flag=True, help="Go on learning from the text as it is scored.")
@click.option(
    "--dynamic-rate",
    cls=DependentOption,
    goes_with=("dynamic",),
    type=float,
    help="Size of its steps.  [default: 0.0003, or 0.02 without the training text]",
)
@click.option(
    "--dynamic-decay",
    cls=DependentOption,
    goes_with=("dynamic",),
    type=float,
    help="Pull back to what was trained.  [default: 0.001]",
)
@click.option(
    "--dynamic-segment",
    cls=DependentOption,
    goes_with=("dynamic",),
    type=int,
    help="Tokens scored before each step.  [default: 20]",
)
@click.option("--cache", is_flag=True, help="Expect again what came lately in a like place.")
@click.option(
    "--cache-window",
    cls=DependentOption,
    goes_with=("cache",),
    type=int,
    help="Places remembered.  [default: 2000]",
)
@click.option(
    "--cache-theta",
    cls=DependentOption,
    goes_with=("cache",),
    type=float,
    help="How much like it must be.  [default: 0.3]",
)
@click.option(
    "--cache-weight",
    cls=DependentOption,
    goes_with=("cache",),
    type=float,
    help="Its share of the mixture.  [default: 0.1]",
)
@click.option(
    "--iw-samples",
    type=click.IntRange(min=1),
    help="Sentence VAEs: points drawn for each sentence, for a closer bound.  [default: 10]",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def command(
    model: Path,
    text: tuple[str, ...],
    split: str | None,
    encoding: str,
    precision: str,
    iw_samples: int | None,
    as_json: bool,
    **adapting: Any,
) -> None:
    """Say how well the model in the folder MODEL predicts a text.

    The text is read in order, whole, with the state carried. Without TEXT it is the validation
    part of the run's own text, which a run's folder keeps. Of a bidirectional model, its causal
    half is judged so, and then both sides together, by pseudo-log-likelihoods. A sentence VAE reads
    each line for itself, and bounds on its likelihood are told, per sentence and per token.
    """
    from rondel.api.load import load
    from rondel.cli.compiling import tell_of_compiling
    from rondel.kinds import kind_of

    if text and split:
        raise InputError("give either a TEXT or a --split, not both")
    dynamic, cache = _adapting(adapting)
    if dynamic is not None and precision != "fp32":
        raise click.UsageError(f"--dynamic trains as it goes, which --precision {precision} cannot")
    tell_of_compiling()
    judged = load(model, precision=precision)
    asked = Asked(
        model, text, split or "validation", encoding, precision, iw_samples, dynamic, cache, as_json
    )
    kind_of(judged.config).eval_command(judged, asked)


class Asked(NamedTuple):
    """What is to be evaluated, on what, and how the figures are printed."""

    folder: Path
    text: tuple[str, ...]
    split: str
    encoding: str
    precision: str
    iw_samples: int | None
    dynamic: DynamicSettings | None
    cache: Cache | None
    as_json: bool

    def tokens(self, model: LanguageModel) -> tuple[Ids, int, str | None]:
        """Token ids, how many characters they stand for, and the text if it is not stored."""
        if not self.text:
            return (*_tokens_of_split(self.folder, self.split, model.config.vocab_size), None)
        whole = read_known(model, self.text, self.encoding)
        return model.tokenizer.encode(whole), len(whole), whole


def evaluate_text(judged: LanguageModel, asked: Asked) -> None:
    """Print how well a language model predicts a text."""
    figures, exact = _causal_figures(judged, asked)
    _tell(figures, exact, None, judged.tokenizer.token_noun, asked.as_json)


def evaluate_both_sides(judged: BidirectionalModel, asked: Asked) -> None:
    """The same of a bidirectional model's causal half, and of both its sides together."""
    from rondel.cli.waiting import Waiting

    figures, exact = _causal_figures(judged, asked)
    ids, characters, _ = asked.tokens(judged)
    with Waiting() as waiting:
        cloze = judged.evaluate_cloze_tokens(ids, characters, waiting)
    _tell(figures, exact, cloze, judged.tokenizer.token_noun, asked.as_json)


def _causal_figures(judged: LanguageModel, asked: Asked) -> tuple[Evaluation, Evaluation | None]:
    """The figures, and those at full precision if these are not."""
    from rondel.api.load import load
    from rondel.cli.waiting import Waiting

    if asked.iw_samples is not None:
        raise InputError(f"{asked.folder} is no sentence VAE: leave out --iw-samples")
    ids, characters, whole = asked.tokens(judged)
    exact = None
    with Waiting() as waiting:
        if asked.dynamic is not None:
            store = TokenStore.of_model(asked.folder, judged.config.vocab_size)
            training_ids = None if store is None else store.tokens("train")
            figures = judged.evaluate_dynamically(
                ids,
                characters,
                asked.dynamic,
                training_ids=training_ids,
                watch=waiting,
                text=whole,
            )
        else:
            figures = judged.evaluate_tokens(
                ids, characters, waiting, cache=asked.cache, text=whole
            )
        if asked.precision != "fp32":
            full = load(asked.folder)
            exact = full.evaluate_tokens(ids, characters, waiting, cache=asked.cache, text=whole)
    return figures, exact


def _adapting(flags: dict[str, Any]) -> tuple[DynamicSettings | None, Cache | None]:
    """What the flags of dynamic evaluation and of the cache say."""
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


def read_known(model: Model, paths: tuple[str, ...], encoding: str) -> str:
    """A text that the model knows something of."""
    from rondel.evaluation.scoring import refuse_unknown
    from rondel.text.reading import read_text

    text = read_text(paths, encoding, as_bytes=model.tokenizer.reads_bytes)
    refuse_unknown(model.tokenizer, text)
    return text


def _tokens_of_split(folder: Path, name: str, vocab_size: int) -> tuple[Ids, int]:
    store = open_store(folder, vocab_size)
    split = store.splits[name]
    if not split.tokens:
        raise InputError(
            f"this run kept no {name} part of its text; name another --split, or a TEXT"
        )
    return store.tokens(name), split.characters


def _tell(
    figures: Evaluation,
    exact: Evaluation | None,
    cloze: ClozeEvaluation | None,
    token: str,
    as_json: bool,
) -> None:
    """Print the figures; of a bidirectional model, those of each kind under its name.

    `exact` are those of the same model at full precision, if the figures are not.
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
        cost_rows = [(f"{cost:+.5f}", f"nats per {token} beside fp32")]
        _print(_rows(figures, token) + (cost_rows if exact is not None else []))
    else:
        click.echo(f"the causal half, each {token} given those before it:")
        _print(_rows(figures, token))
        click.echo(f"both sides, each {token} given all others (compares with nothing above):")
        _print(_cloze_rows(cloze, token))


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
        (f"{figures.pseudo_bits_per_character:.4f}", "bits of it per character"),
        (f"{figures.pseudo_perplexity:,.3f}", f"pseudo-perplexity per {token}"),
        (f"{figures.tokens:,}", f"{token}s scored"),
    ]


def _print(rows: list[tuple[str, str]]) -> None:
    width = max(len(number) for number, _ in rows)
    for number, unit in rows:
        click.echo(f"{number:>{width}}  {unit}")
