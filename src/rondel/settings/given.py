"""What a person gave: settings by name, each checked, and nothing that was not given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rondel.settings.catalogue import checked


class Settings(Mapping[str, Any]):
    """The settings that were given for a run, by name. A value of `None` is none given.

    ::

        Settings({"hidden_size": 512, "minutes": 10})
        Settings({"cell": "gru"}, defaults=read_settings(Path("run.toml")))

    `by_hand` names those that were asked for one by one: each has to have an effect in the run.
    `defaults`, from a settings file, stand where nothing else is given, and those of them that are
    for a component that the run does not have are left out. Raises `InputError` for an unknown
    setting or a value that one may not have.
    """

    def __init__(
        self, given: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
    ) -> None:
        own = {name: value for name, value in checked(given or {}).items() if value is not None}
        self._values: dict[str, Any] = {**(defaults or {}), **own}
        self.by_hand = frozenset(own)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Settings({self._values!r})"

    def without(self, *names: str) -> Settings:
        """These but for some of them."""
        kept = Settings()
        kept._values = {name: value for name, value in self.items() if name not in names}
        kept.by_hand = self.by_hand - set(names)
        return kept

    def fill(self, values: Mapping[str, Any]) -> Settings:
        """These, and `values` where nothing was given."""
        filled = Settings()
        own = {name: value for name, value in values.items() if value is not None}
        filled._values = {**own, **self._values}
        filled.by_hand = self.by_hand
        return filled


def read_settings(path: Path) -> Settings:
    """The settings in a TOML file written like a `run.toml`, as `rondel train --config` takes it.

    Raises `InputError` if it is no such file.
    """
    from rondel.settings.toml import read_sections

    values = {}
    for section in read_sections(path).values():
        values.update(section)
    return Settings(defaults=values)
