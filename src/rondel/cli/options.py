"""Flags made from what declares them: settings of a run, parameters of the sampling rules."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click

from rondel.config import RunConfig, base_type, flag_name

F = TypeVar("F", bound=Callable[..., Any])


class SectionedOption(click.Option):
    """An option that `rondel COMMAND --help` lists under a heading."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help groups its options by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those without a section first."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                name = getattr(parameter, "section", "Options")
                sections.setdefault(name, []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)


def setting_options(choices: dict[str, Collection[str]]) -> Callable[[F], F]:
    """Give a command a flag for every setting of a run.

    A flag that is not given is `None`, whatever the setting's default, so that a settings file can
    stand between the two. `choices` names the values of settings that a registry decides.
    """

    def decorate(command: F) -> F:
        options = []
        for title, section in RunConfig().sections().items():
            types = typing.get_type_hints(type(section))
            for field in dataclasses.fields(section):
                if field.metadata["flag"]:
                    type_ = base_type(types[field.name])
                    allowed = field.metadata["choices"] or choices.get(field.name, ())
                    options.append(_setting_option(field, type_, allowed, f"{title} settings"))
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _setting_option(
    field: dataclasses.Field[Any], type_: type, allowed: Collection[str], section: str
) -> Callable[[F], F]:
    flag, text = flag_name(field.name), field.metadata["help"]
    if type_ is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    elif field.default is not None:
        text += f"  [default: {field.default}]"
    return click.option(
        flag,
        cls=SectionedOption,
        section=section.capitalize(),
        type=click.Choice(list(allowed)) if allowed else type_,
        default=None,
        help=text,
    )


def rule_options(command: F) -> F:
    """Give a command a flag for every parameter of every sampling rule."""
    from rondel.generation.rules import rules

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
