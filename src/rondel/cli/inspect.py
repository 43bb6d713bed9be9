"""`rondel inspect`: look inside: what single units do over a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import DependentOption
from rondel.cli.runs import open_store
from rondel.errors import InputError
from rondel.files import refuse_device

if TYPE_CHECKING:
    from rondel.api.language_model import LanguageModel
    from rondel.inspection.ablation import Effect
    from rondel.inspection.features import Feature
    from rondel.inspection.finding import Find
    from rondel.inspection.trace import Trace, Unit

DEFAULT_TOKENS = 20_000
SHOWN = 2_000
PAGE, FIGURES = (".html",), (".png", ".svg")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", required=False)
@click.option(
    "--unit",
    "units",
    multiple=True,
    metavar="LAYER:UNIT",
    help="Show this unit over the text, such as 2:137, both counted from 1; another track than the "
    "hidden state goes before it, as in cell:2:137. More than once for several.",
)
@click.option(
    "--ablate",
    "ablated",
    multiple=True,
    metavar="LAYER:UNIT",
    help="Clamp this unit to its mean, and say what that does to the loss.",
)
@click.option(
    "--feature",
    "patterns",
    multiple=True,
    metavar="NAME=REGEX",
    help="A feature of your own: it holds in what the regular expression matches.",
)
@click.option(
    "--track",
    "tracks",
    multiple=True,
    metavar="FILE",
    help="A feature of your own: a file with a 0 or 1 for each character of the text.",
)
@click.option("--gates", is_flag=True, help="Look through the gates too.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write a page (.html), or a figure (.png, .svg) of the units or of a layer.",
)
@click.option(
    "--heatmap",
    cls=DependentOption,
    goes_with=("out",),
    type=int,
    metavar="LAYER",
    help="With --out: all units of a layer.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Write on from TEXT, coloured as it is written by the --unit, or by the one that tells "
    "most of TEXT.",
)
@click.option(
    "-n",
    "--length",
    cls=DependentOption,
    goes_with=("watch",),
    default=1000,
    show_default=True,
    help="With --watch: tokens to write.",
)
@click.option(
    "--seed",
    cls=DependentOption,
    goes_with=("watch",),
    type=int,
    help="With --watch: the same seed gives the same text.",
)
@click.option(
    "--top", default=3, show_default=True, type=click.IntRange(min=1), help="Finds a feature."
)
@click.option(
    "--format",
    "how",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How finds and effects are told.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of TEXT.")
def command(model: Path, text: str | None, encoding: str, **flags: Any) -> None:
    """Look inside the model in the folder MODEL: what its units do over a text.

    Without TEXT it is the beginning of the validation part of the run's own text. Finds are the
    units that go with a feature of the text (inside quotes, position in line, end of word, …) more
    than chance and a model that learnt nothing would have them do, in one half of the text and in
    the other.
    """
    from rondel.api.load import load
    from rondel.cli.compiling import tell_of_compiling

    _check(flags)
    tell_of_compiling()
    inspected = load(model)
    if flags["watch"]:
        _watch(model, inspected, text, encoding, flags)
        return
    read = _read(model, inspected, text, encoding)
    features = _features(inspected, read, flags["patterns"], flags["tracks"])
    flags |= {name: _units(inspected, flags[name]) for name in ("units", "ablated")}
    flags["source"] = text or "validation part"
    with _traced(inspected, read, flags) as trace:
        _act(inspected, trace, features, flags)


def _watch(
    folder: Path, model: LanguageModel, text: str | None, encoding: str, flags: dict[str, Any]
) -> None:
    """Write on from the text, coloured by the unit that is named, or by its most telling one."""
    from rondel.cli.watching import watch

    names = flags["units"]
    prime = None if text is None else _read(folder, model, text, encoding)
    if not names:
        read = prime or _read(folder, model, None, encoding)
        features = _features(model, read, flags["patterns"], flags["tracks"])
        with _traced(model, read, {**flags, "units": [], "ablated": []}) as trace:
            finds = model.find_units(trace, features, tracks=["hidden"])
        if not finds:
            raise InputError("no unit stands out in this text; name one with --unit, such as 1:1")
        names = (str(finds[0].unit),)
        click.echo(f"rondel: coloured by unit {names[0]}: {finds[0].feature}", err=True)
    watch(model, names, prime, flags["length"], flags["seed"])


def _units(model: LanguageModel, names: tuple[str, ...]) -> list[Unit]:
    from rondel.inspection.trace import find_unit, track_shapes

    shapes = track_shapes(model.config)
    return [find_unit(name, shapes) for name in names]


def _check(flags: dict[str, Any]) -> None:
    out = flags["out"]
    if out is not None and out.suffix.lower() not in PAGE + FIGURES:
        raise InputError(f"{out}: --out is a page (.html) or a figure (.png, .svg)")
    is_figure = out is not None and out.suffix.lower() in FIGURES
    if is_figure and not flags["units"] and flags["heatmap"] is None:
        raise InputError("a figure shows units: name some with --unit, or a layer with --heatmap")
    if flags["heatmap"] is not None and not is_figure:
        raise click.UsageError("--heatmap goes with --out FIGURE.png or .svg")


def _read(folder: Path, model: LanguageModel, text: str | None, encoding: str) -> str:
    from rondel.text.reading import read_text

    if text is not None:
        return read_text([text], encoding, as_bytes=model.tokenizer.reads_bytes)
    ids = open_store(folder, model.config.vocab_size).tokens("validation")
    if not len(ids):
        raise InputError("this run kept no validation part of its text; give it a TEXT")
    return model.tokenizer.decode(ids[:DEFAULT_TOKENS])


def _features(
    model: LanguageModel, text: str, patterns: tuple[str, ...], files: tuple[str, ...]
) -> list[Feature]:
    import numpy as np

    from rondel.inspection.features import features_of
    from rondel.inspection.trace import spans_of

    named, tracks = {}, {}
    for pattern in patterns:
        name, equals, expression = pattern.partition("=")
        if not (name and equals and expression):
            raise InputError(f"--feature {pattern!r} is no NAME=REGEX")
        named[name] = expression
    for file in files:
        refuse_device(file)
        marks = "".join(Path(file).read_text(encoding="utf-8", errors="replace").split())
        if set(marks) - {"0", "1"}:
            raise InputError(f"{file} has other marks than 0 and 1; give it one for each character")
        tracks[Path(file).stem] = np.array([mark == "1" for mark in marks])
    return features_of(text, spans_of(model.config, model.tokenizer, text), named, tracks)


def _traced(model: LanguageModel, text: str, flags: dict[str, Any]) -> Trace:
    """A trace of the tracks that are asked for, since gates take time and room."""
    from rondel.cli.waiting import Waiting
    from rondel.inspection.finding import FINDING_TRACKS
    from rondel.inspection.trace import track_names

    chosen = None
    if not (flags["gates"] or _is_page(flags["out"])):
        named = {unit.track for unit in flags["units"] + flags["ablated"]}
        wanted = named.union(FINDING_TRACKS)
        chosen = [name for name in track_names(model.config) if name in wanted]
    with Waiting() as waiting:
        return model.trace(text, tracks=chosen, watch=waiting)


def _act(
    model: LanguageModel, trace: Trace, features: list[Feature], flags: dict[str, Any]
) -> None:
    from rondel.cli.units_text import show_unit, tell_effects, tell_finds

    out, how = flags["out"], flags["how"]
    units, ablated = flags["units"], flags["ablated"]
    finds: list[Find] = []
    searched = not (units or flags["heatmap"] is not None) or _is_page(out)
    if searched or ablated:
        finds = model.find_units(
            trace, features, tracks=list(trace.tracks) if flags["gates"] else None
        )
    if ablated:
        effects = [
            effect for unit in ablated for effect in _effects(model, trace, unit, features, finds)
        ]
        tell_effects(effects, model.tokenizer.token_noun, how)
    elif _is_page(out):
        from rondel.inspection.page import write_page

        write_page(out, trace, finds, flags["source"])
        click.echo(f"wrote {out}")
    elif out is not None:
        _draw(out, trace, units, flags["heatmap"])
    elif units:
        for unit in units:
            show_unit(trace, unit, SHOWN)
    else:
        tell_finds(trace, finds, flags["top"], how)


def _is_page(out: Path | None) -> bool:
    return out is not None and out.suffix.lower() in PAGE


def _effects(
    model: LanguageModel, trace: Trace, unit: Unit, features: list[Feature], finds: list[Find]
) -> list[Effect]:
    """What a unit is for: the features that it was found for, or else all that ever hold."""
    own = {f.feature for f in finds if (f.unit.layer, f.unit.index) == (unit.layer, unit.index)}
    chosen = (
        [f for f in features if f.name in own] if own else [f for f in features if f.values.any()]
    )
    return model.ablate(trace, unit, chosen)


def _draw(out: Path, trace: Trace, units: list[Unit], layer: int | None) -> None:
    from rondel.inspection.figures import draw_layer, draw_units

    if layer is not None:
        draw_layer(out, trace, layer - 1)
    else:
        draw_units(out, trace, units)
    click.echo(f"wrote {out}")
