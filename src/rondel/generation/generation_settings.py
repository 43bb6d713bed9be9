"""How text is to be generated: how long, in what mode, where it stops, by which rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from rondel.checked import Natural, Positive, check_fields
from rondel.errors import InputError
from rondel.generation.sampling.rules import active_rules

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

    length: Positive = 500
    mode: str = "sample"
    seed: Natural | None = None
    stop: tuple[str, ...] = ()
    beam_width: Positive = 4
    rules: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.mode not in MODES:
            raise InputError(f"mode is one of {', '.join(MODES)}, not {self.mode!r}")
        if "" in self.stop:
            raise InputError("stop has an empty string in it, which ends every text; leave it out")
        # Copies: the caller may change its own later.
        object.__setattr__(self, "stop", tuple(self.stop))
        object.__setattr__(self, "rules", dict(self.rules))
        active_rules(self.rules)

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn at random, so that each index of a seed has its own text."""
        return self.mode not in ("argmax", "beam") and self.rules.get("temperature") != 0


class RuleKeywords(TypedDict, total=False):
    """Parameters of the sampling rules, for type checkers; each rule documents its parameters."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float


class DecodingKeywords(RuleKeywords, total=False):
    """What `SentenceVAE.decode` takes beside the points, for type checkers."""

    length: int
    mode: str
    seed: int | None
    stop: str | Sequence[str] | None
    beam_width: int


class WritingKeywords(DecodingKeywords, total=False):
    """What `LanguageModel.stream` takes beside the prime, for type checkers."""

    index: int


def generation_settings(
    length: int,
    mode: str,
    seed: int | None,
    stop: str | Sequence[str] | None,
    beam_width: int,
    rules: Mapping[str, Any],
) -> GenerationSettings:
    """Build the settings from the keywords of `LanguageModel.stream`."""
    stops: Any = (stop,) if isinstance(stop, str) else () if stop is None else stop
    return GenerationSettings(length, mode, seed, stops, beam_width, rules)
