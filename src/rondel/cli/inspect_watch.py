"""`rondel inspect --watch`: generate text coloured by a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from rondel.cli.inspect_output import append
from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.api.language_model import LanguageModel
    from rondel.engine import Engine


class WatchedEngine:
    """An engine that keeps the state of its last step.

    It has no compiled streams, so that generation calls `step` for each token.
    """

    batch_invariant = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.state = engine.initial_state()

    def initial_state(self, batch_size: int = 1) -> Any:
        """See `Engine`."""
        return self._engine.initial_state(batch_size)

    def step(self, tokens_B: Any, state: Any) -> Any:
        """See `Engine`."""
        logits, self.state = self._engine.step(tokens_B, state)
        return logits, self.state

    def sequence(self, tokens_TB: Any, state: Any) -> Any:
        """See `Engine`."""
        return self._engine.sequence(tokens_TB, state)

    def advance(self, tokens_TB: Any, state: Any) -> Any:
        """See `Engine`."""
        return self._engine.advance(tokens_TB, state)

    def outputs(self, tokens_TB: Any, state: Any) -> Any:
        """See `Engine`."""
        return self._engine.outputs(tokens_TB, state)

    def layer_outputs(self, tokens_TB: Any, state: Any) -> Any:
        """See `Engine`."""
        return self._engine.layer_outputs(tokens_TB, state)

    def streams(self, capacity: int, forbidden: int | None) -> None:
        """See `Engine`."""


def watch(
    model: LanguageModel, names: tuple[str, ...], prime: str | None, length: int, seed: int | None
) -> None:
    """Continue a prime, each token coloured by a unit's value after reading it.

    The last line of the prime is printed first.
    """
    from rondel.cells import build_cell
    from rondel.generation.generate import generate
    from rondel.generation.generation_settings import GenerationSettings
    from rondel.generation.opening import opening_with
    from rondel.inspection.stack_tracks import STATES
    from rondel.inspection.trace import unit_by_name

    if len(names) != 1:
        raise InputError("--watch colours by one unit; name only one with --unit")
    tracks = [STATES.get(state, state) for state in build_cell(model.config).states]
    shape = (model.config.num_layers, model.config.hidden_size)
    unit = unit_by_name(names[0], dict.fromkeys(tracks, shape))
    engine = WatchedEngine(model.engine)
    settings = GenerationSettings(length, seed=seed)
    console = Console(highlight=False)
    opening = opening_with(prime) if prime else model.choose_opening(seed)
    last = "".join(opening.shown.splitlines(keepends=True)[-1:])
    console.print(Text(last), end="")
    waiting = ""
    for piece in generate(engine, model.tokenizer, settings, opening.prime):
        # A token's value is known only after the next step has read it.
        if waiting:
            _print(console, waiting, engine.state, tracks.index(unit.track), unit)
        waiting = piece
    if waiting:
        console.print(Text(waiting), end="")
    console.print()


def _print(console: Console, piece: str, state: Any, part: int, unit: Any) -> None:
    value = float(state[part][unit.layer, 0, unit.index])
    text = Text()
    append(text, piece, max(-1.0, min(1.0, value)))
    console.print(text, end="")
