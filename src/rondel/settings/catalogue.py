"""All the settings there are: those of every run, and those of each registered component."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rondel.errors import InputError
from rondel.settings.component import Component
from rondel.settings.fields import check, registry_of, settings_of, types_of
from rondel.settings.sections import SECTIONS, Section

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Setting:
    """A setting as the command line knows it.

    `owners` are the components it belongs to, by what chooses them: `("cell", "lstm")`. It has an
    effect in a run that has one of them; without owners it belongs to every run.
    """

    field: dataclasses.Field[Any]
    type: type
    section: str
    owners: tuple[tuple[str, str], ...] = ()

    @property
    def help(self) -> str:
        """What it means, after the components that it is for."""
        text: str = self.field.metadata["help"]
        return f"{owners_in_words(self.owners)}: {text}" if self.owners else text

    def check(self, value: Any) -> Any:
        """The value as the setting holds it; `InputError` if it may not have it."""
        return check(self.field, self.type, value)


def owners_in_words(owners: tuple[tuple[str, str], ...]) -> str:
    """`cell lstm`, `schedule exponential or plateau`."""
    names: dict[str, list[str]] = {}
    for selector, name in owners:
        names.setdefault(selector, []).append(name)
    return " or ".join(f"{selector} {' or '.join(them)}" for selector, them in names.items())


@functools.cache
def all_settings() -> Mapping[str, Setting]:
    """Every setting by name, section by section; of a run's own, those that can be given."""
    found: dict[str, Setting] = {}
    for section, cls in SECTIONS.items():
        for name, field in settings_of(cls).items():
            if field.metadata["flag"]:
                found[name] = Setting(field, types_of(cls)[name], section)
    for selector, name, component in _components():
        for section, cls in component.settings_types().items():
            for own, field in settings_of(cls).items():
                setting = found.get(own) or Setting(field, types_of(cls)[own], section)
                owners = (*setting.owners, (selector, name))
                found[own] = dataclasses.replace(setting, owners=owners)
    order = list(SECTIONS)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1].section)))


def _components() -> Iterator[tuple[str, str, Component]]:
    """Every component that a setting of some section can choose: selector, name, component."""
    for cls in SECTIONS.values():
        for selector, field in settings_of(cls).items():
            if field.metadata["registry"]:
                for name, component in registry_of(field).items():
                    yield selector, name, component


def chosen_components(choices: Mapping[str, Any]) -> Iterator[tuple[str, str, Component]]:
    """The components that values of settings choose: what chooses it, its name, and itself.

    A component's settings may choose one in turn, as a sentence VAE's encoder does with its cell:
    that is a `cell` too.
    """
    selectors: dict[str, str] = {}
    waiting: list[type] = list(SECTIONS.values())
    while waiting:
        for name, field in settings_of(waiting.pop(0)).items():
            registry, chosen = field.metadata["registry"], choices.get(name)
            if not registry or chosen is None:
                continue
            component = registry_of(field)[chosen]
            yield selectors.setdefault(registry, name), chosen, component
            waiting += component.settings_types().values()


def own_types(section: str, choices: Mapping[str, Any]) -> list[type]:
    """The settings dataclasses that the chosen components (see there) add to a section."""
    types: dict[type, None] = {}
    for *_, component in chosen_components(choices):
        own = component.settings_types()
        if section in own:
            types[own[section]] = None
    return list(types)


def build_section(
    cls: type[S], values: Mapping[str, Any], choices: Mapping[str, Any] | None = None
) -> S:
    """A record of settings from plain values by name, with its components' settings in `own`.

    What is not among the values is the default. Settings of components that it does not name are
    left out. `choices` are settings of the whole run, where another section chooses a component
    that has settings in this one. Raises `InputError` for an unknown setting or a bad value.
    """
    section = next(name for name, known in SECTIONS.items() if known is cls)
    fields = settings_of(cls)
    common = {name: value for name, value in values.items() if name in fields}
    defaults = {name: field.default for name, field in fields.items()}
    own: dict[str, Any] = {}
    for type_ in own_types(section, {**(choices or {}), **defaults, **values}):
        for name, field in settings_of(type_).items():
            value = values.get(name)
            given = field.default if value is None else value
            own[name] = check(field, types_of(type_)[name], given)
    _refuse_unknown(section, values, {*fields, *own})
    return cls(**common, own=own)


def _refuse_unknown(section: str, values: Mapping[str, Any], own: set[str]) -> None:
    """Refuse a setting that no component has in this section either."""
    unknown = [name for name in values if name not in own]
    if not unknown:
        return
    known = {name for name, entry in all_settings().items() if entry.section == section}
    for name in unknown:
        if name not in known:
            raise InputError(f"no setting is called {name!r}; remove that line")


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of settings by name, each checked; `InputError` for an unknown one or a bad value."""
    known = all_settings()
    result = {}
    for name, value in values.items():
        if name not in known or not known[name].field.metadata["flag"]:
            raise InputError(f"no setting is called {name!r}; see rondel train --help")
        result[name] = known[name].check(value)
    return result
