"""All settings: those of every run, and those of each registered component."""

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
    """A setting with its type, section and owners.

    `owners` are the components that it belongs to, each with the setting that chooses it, such as
    `("cell", "lstm")`. It has an effect in runs with one of them; without owners, in every run.
    """

    field: dataclasses.Field[Any]
    type: type
    section: str
    owners: tuple[tuple[str, str], ...] = ()

    @property
    def help(self) -> str:
        """The help text, after the components that the setting is for."""
        text: str = self.field.metadata["help"]
        return f"{owners_in_words(self.owners)}: {text}" if self.owners else text

    def check(self, value: Any) -> Any:
        """Convert a value to the setting's type; raises `InputError` if it is invalid."""
        return check(self.field, self.type, value)


def owners_in_words(owners: tuple[tuple[str, str], ...]) -> str:
    """Describe owners, as in `cell lstm` or `schedule exponential or plateau`."""
    names: dict[str, list[str]] = {}
    for selector, name in owners:
        names.setdefault(selector, []).append(name)
    return " or ".join(f"{selector} {' or '.join(names[selector])}" for selector in names)


@functools.cache
def all_settings() -> Mapping[str, Setting]:
    """Every setting that can be given, by name, ordered by section."""
    found: dict[str, Setting] = {}
    for section, cls in SECTIONS.items():
        for name, field in settings_of(cls).items():
            if field.metadata["flag"]:
                found[name] = Setting(field, types_of(cls)[name], section)
    for selector, name, component in _components():
        for section, cls in component.settings_types().items():
            for setting_name, field in settings_of(cls).items():
                new = Setting(field, types_of(cls)[setting_name], section)
                setting = found.get(setting_name) or new
                owners = (*setting.owners, (selector, name))
                found[setting_name] = dataclasses.replace(setting, owners=owners)
    order = list(SECTIONS)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1].section)))


def _components() -> Iterator[tuple[str, str, Component]]:
    """Yield (setting, name, component) of every component that a setting can choose."""
    for cls in SECTIONS.values():
        for selector, field in settings_of(cls).items():
            if field.metadata["registry"]:
                for name, component in registry_of(field).items():
                    yield selector, name, component


def chosen_components(choices: Mapping[str, Any]) -> Iterator[tuple[str, str, Component]]:
    """Yield (setting, name, component) of the components that settings choose.

    A component's settings may choose further components, such as a sentence VAE's encoder cell: its
    setting is then `cell` too.
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
    """The settings dataclasses that the `chosen_components` add to a section."""
    types: dict[type, None] = {}
    for *_, component in chosen_components(choices):
        own = component.settings_types()
        if section in own:
            types[own[section]] = None
    return list(types)


def build_section(
    cls: type[S], values: Mapping[str, Any], choices: Mapping[str, Any] | None = None
) -> S:
    """Build a section from values by name, with its components' settings in `own`.

    Missing values get their defaults. Settings of components that are not chosen are ignored.
    `choices` are the settings of the whole run, since a component chosen in another section may
    have settings in this one. Raises `InputError` for an unknown setting or an invalid value.
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
    """Raise `InputError` for a setting that no component has in this section."""
    unknown = [name for name in values if name not in own]
    if not unknown:
        return
    known = {name for name, entry in all_settings().items() if entry.section == section}
    for name in unknown:
        if name not in known:
            raise InputError(f"no setting is called {name!r}; remove that line")


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check settings by name; raises `InputError` for an unknown setting or an invalid value."""
    known = all_settings()
    result = {}
    for name, value in values.items():
        if name not in known or not known[name].field.metadata["flag"]:
            raise InputError(f"no setting is called {name!r}; see rondel train --help")
        result[name] = known[name].check(value)
    return result
