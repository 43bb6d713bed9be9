"""The settings given by the user, checked, without defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rondel.settings.catalogue import checked


class Settings(Mapping[str, Any]):
    """The settings given for a run, by name. `None` counts as not given.

    ::

        Settings({"hidden_size": 512, "minutes": 10})
        Settings({"cell": "gru"}, defaults=read_settings(Path("run.toml")))

    `by_hand` names the settings given explicitly: each must have an effect in the run. `defaults`,
    from a settings file, apply where nothing else is given; those of components that the run does
    not have are ignored. Raises `InputError` for an unknown setting or an invalid value.
    """

    def __init__(
        self, given: Mapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
    ) -> None:
        known = {name: value for name, value in checked(given or {}).items() if value is not None}
        self._values: dict[str, Any] = {**(defaults or {}), **known}
        self.by_hand = frozenset(known)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Settings({self._values!r})"

    def without(self, *names: str) -> Settings:
        """A copy without some of the settings."""
        kept = Settings()
        kept._values = {name: value for name, value in self.items() if name not in names}
        kept.by_hand = self.by_hand - set(names)
        return kept

    def fill(self, values: Mapping[str, Any]) -> Settings:
        """A copy with `values` where nothing was given."""
        filled = Settings()
        known = {name: value for name, value in values.items() if value is not None}
        filled._values = {**known, **self._values}
        filled.by_hand = self.by_hand
        return filled


def read_settings(path: Path) -> Settings:
    """Read the settings in a TOML file like `run.toml`, for `rondel train --config`.

    Raises `InputError` if the file is missing or invalid.
    """
    from rondel.settings.toml import read_sections

    values = {}
    for section in read_sections(path).values():
        values.update(section)
    return Settings(defaults=values)
