"""Make command-line flags from a run's settings and the sampling rules' parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from rondel.errors import InputError
from rondel.kinds import kinds
from rondel.settings import TextConfig, all_settings, flag_name
from rondel.settings.catalogue import Setting
from rondel.settings.fields import choices_of, settings_of

F = TypeVar("F", bound=Callable[..., Any])


class SectionedOption(click.Option):
    """An option that the command's help lists under a heading."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class DependentOption(click.Option):
    """An option that is refused unless another, without which it has no effect, is given.

    `goes_with` names the parameters of which one must be given.
    """

    def __init__(self, *args: Any, goes_with: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.goes_with = goes_with

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Raise `click.UsageError` if the option is given without the others."""
        if self.name in opts and not any(name in opts for name in self.goes_with):
            flags = {option.name: option.opts[-1] for option in ctx.command.params}
            others = " or ".join(flags[name] for name in self.goes_with)
            raise click.UsageError(f"{self.opts[-1]} needs {others}")
        return super().handle_parse_result(ctx, opts, args)


class SectionedCommand(click.Command):
    """A command whose help groups its options by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options by section, those without a section first."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                name = getattr(parameter, "section", "Options")
                sections.setdefault(name, []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)


def setting_options(command: F) -> F:
    """Add a flag for every setting of a run.

    A flag that is not given is `None`, so that a settings file can override the setting's default.
    """
    return _with_flags(command, lambda name, section: True)


def text_options(command: F) -> F:
    """Give a command the flags of those settings alone that decide how a text is read."""
    return _with_flags(command, lambda name, section: section == "text" or name in READING)


READING = ("model", "seed")
"""Settings of other sections that a text is read by."""


def format_options(command: F) -> F:
    """Give a command the flags that say how its TEXT is read and where its documents begin."""
    for name in reversed(("encoding", "field", "column", "documents")):
        field = settings_of(TextConfig)[name]
        default = field.default
        command = click.option(
            flag_name(name),
            default=default,
            show_default=default is not None,
            type=click.Choice(list(choices)) if (choices := choices_of(field)) else str,
            help=f"{field.metadata['help'][:1].upper()}{field.metadata['help'][1:]}.",
        )(command)
    return command


def _with_flags(command: F, wanted: Callable[[str, str], bool]) -> F:
    for name, setting in reversed(list(all_settings().items())):
        if setting.field.metadata["flag"] and wanted(name, setting.section):
            command = _setting_option(name, setting)(command)
    return command


def _setting_option(name: str, setting: Setting) -> Callable[[F], F]:
    flag, text, field = flag_name(name), setting.help, setting.field
    choices = choices_of(field)
    if setting.type is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    elif field.default is not None and not field.metadata["chosen"]:
        text += f"  [default: {field.default}]"
    return click.option(
        flag,
        cls=SectionedOption,
        section=f"{setting.section} settings".capitalize(),
        type=click.Choice(list(choices)) if choices else setting.type,
        default=None,
        help=text,
    )


KIND = "kind_"


def kind_options(command: F) -> F:
    """Add the flags that are short for `--model KIND`, of the kinds that have one."""
    for kind in kinds.values():
        if kind.flag_help:
            command = click.option(
                f"--{kind.name}",
                KIND + kind.name.replace("-", "_"),
                flag_value=kind.name,
                default=None,
                help=f"{kind.flag_help}: short for --model {kind.name}.",
            )(command)
    return command


def given_settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings given by the flags of `setting_options` and `kind_options`."""
    given = {name: value for name, value in flags.items() if value is not None}
    settings = {name: value for name, value in given.items() if not name.startswith(KIND)}
    for name in given.keys() - settings.keys():
        kind = given[name]
        if settings.setdefault("model", kind) != kind:
            raise InputError(f"--{kind} and --model {settings['model']} disagree; leave one out")
    return settings


def rule_options(command: F) -> F:
    """Add a flag for every parameter of every sampling rule."""
    from rondel.generation.sampling.rules import rules

    ordered = sorted(rules.values(), key=lambda rule: rule.order, reverse=True)
    for rule in ordered:
        for field in reversed(dataclasses.fields(rule)):  # type: ignore[arg-type]
            command = click.option(
                flag_name(field.name),
                cls=SectionedOption,
                section="Sampling rules",
                type=type(field.default),
                default=field.default,
                show_default=True,
                help=field.metadata["help"],
            )(command)
    return command


def refuse_without_effect(mode: str, *others: str) -> None:
    """Raise `InputError` for a given flag that has no effect in a generation mode.

    `others` are the command's parameters for other modes.
    """
    from rondel.generation.sampling.rules import rules

    likeliest = [rule for rule in rules.values() if rule.keeps_likeliest]
    shaping = [field.name for rule in likeliest for field in dataclasses.fields(rule)]  # type: ignore[arg-type]
    idle = list(others) if mode == "beam" else [*others, "beam_width"]
    _refuse_given([*idle, *shaping] if mode == "argmax" else idle, f"--mode {mode}")
    if click.get_current_context().params.get("temperature") == 0:
        _refuse_given([name for name in shaping if name != "temperature"], "--temperature 0")


def refuse_idle_seed(mode: str) -> None:
    """Raise `InputError` for a seed if no token is drawn, in a text whose start is fixed."""
    if mode in ("argmax", "beam"):
        _refuse_given(["seed"], f"--mode {mode}")
    elif click.get_current_context().params.get("temperature") == 0:
        _refuse_given(["seed"], "--temperature 0")


def _refuse_given(names: Iterable[str], other: str) -> None:
    for name in names:
        if is_given(name):
            raise InputError(f"{flag_name(name)} has no effect with {other}; leave it out")


def overwrite_option(command: F) -> F:
    """Add the flag `--overwrite` to a command that writes the file `--out`."""
    return click.option(
        "--overwrite", cls=DependentOption, goes_with=("out",), is_flag=True, help="Replace --out."
    )(command)


def check_out(out: Path | None, overwrite: bool) -> None:
    """Raise `InputError` if the file `out` exists and is not to be replaced."""
    if out is not None and out.is_file() and not overwrite:
        raise InputError(
            f"{out} is there already; name another --out, or replace it with --overwrite"
        )


def is_given(name: str) -> bool:
    """Whether a parameter of the running command was given on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE
