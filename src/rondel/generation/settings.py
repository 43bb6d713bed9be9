"""How text is to be generated: how long, in what mode, where it stops, by which rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rondel.errors import InputError
from rondel.generation.rules import active_rules

MODES = {
    "sample": "draw every token",
    "argmax": "always take the likeliest token",
    "spaces": "draw the token after a space, take the likeliest within a word",
    "beam": "search for the likeliest text, several at a time",
}
"""What each mode does, for help texts."""


@dataclass(frozen=True)
class GenerationSettings:
    """What to generate. A value that cannot be used raises `InputError` as it is made.

    `length` is in tokens; `seed` None draws differently each time; `stop` ends the text before any
    of these strings; `rules` are parameters of the sampling rules by name.
    """

    length: int = 500
    mode: str = "sample"
    seed: int | None = None
    stop: tuple[str, ...] = ()
    beam_width: int = 4
    rules: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _whole("length", self.length, 1)
        _whole("beam_width", self.beam_width, 1)
        if self.seed is not None:
            _whole("seed", self.seed, 0)
        if not isinstance(self.mode, str) or self.mode not in MODES:
            raise InputError(f"mode is one of {', '.join(MODES)}, not {self.mode!r}")
        if not isinstance(self.stop, (tuple, list)) or not all(
            isinstance(stop, str) for stop in self.stop
        ):
            raise InputError(f"stop must be a list of strings, not {self.stop!r}")
        if "" in self.stop:
            raise InputError("stop has an empty string in it, which ends every text; leave it out")
        # Neither may change under those who read it later.
        object.__setattr__(self, "stop", tuple(self.stop))
        object.__setattr__(self, "rules", dict(self.rules))
        active_rules(self.rules)

    @property
    def draws(self) -> bool:
        """Whether chance has a part in the text, so that another number's is another one."""
        return self.mode not in ("argmax", "beam") and self.rules.get("temperature") != 0


def require_count(count: Any) -> None:
    """Raise `InputError` if this is no number of texts."""
    _whole("count", count, 1)


def _whole(name: str, value: Any, at_least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise InputError(f"{name} must be a whole number of at least {at_least}, not {value!r}")
