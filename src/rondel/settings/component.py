"""How a registered component declares its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Component(Protocol):
    """An entry of a registry that a setting chooses from; it may have its own settings."""

    def settings_types(self) -> Mapping[str, type]:
        """Dataclasses of `setting` fields, by section.

        The sections are `text`, `model` and `training`.
        """
