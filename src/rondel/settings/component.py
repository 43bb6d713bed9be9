"""What a registered thing says of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Component(Protocol):
    """An entry of a registry that a setting chooses from: it may bring settings of its own."""

    def settings_types(self) -> Mapping[str, type]:
        """Dataclasses of `setting` fields, by the section that they join.

        The sections are `text`, `model` and `training`.
        """
