"""How a model of some kind reads a text that is traced: which stacks, in which direction.

Shapes: N tokens, L layers, H units of a layer, T tokens of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rondel.engine.base import Floats, Ids
from rondel.engine.stack_config import StackConfig
from rondel.errors import InputError
from rondel.inspection.stack_tracks import StackTracer, Weights
from rondel.settings import ModelConfig
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans

BACKWARD = "backward."
"""What the tracks of a stack that reads against the text begin with."""


class OneWayReader:
    """Reads a text from its beginning, with the one stack of a language model."""

    can_be_clamped = True
    """Whether a token is predicted from units of the stack `core` alone."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def stacks(self) -> dict[str, StackConfig]:
        """Each stack, by what the names of its tracks begin with."""
        return {"": StackConfig.of(self.config)}

    def gates_of(self, array: str) -> int:
        """How many gates share the rows of an array of a layer."""
        return len(StackConfig.of(self.config).cell.gates)

    def read(self, tokenizer: Tokenizer, text: str) -> tuple[Ids, Spans]:
        """The tokens (N,) of a text as the model reads them, and their spans (N, 2).

        Raises `InputError` for a text that is empty or of nothing that the model knows.
        """
        return known_ids(tokenizer, text), tokenizer.spans(text)

    def outputs(
        self, weights: Weights, tokenizer: Tokenizer, ids: Ids, tracks: Mapping[str, Floats]
    ) -> Iterator[Floats]:
        """Fill tracks (N, L, H); yields the outputs (T, H) that next tokens are predicted from."""
        stack = StackConfig.of(self.config)
        yield from StackTracer(stack, weights, "core.", len(ids)).blocks(ids, tracks)


class TwoWayReader(OneWayReader):
    """Reads it from its end as well, with the second stack of a bidirectional model."""

    def stacks(self) -> dict[str, StackConfig]:
        """See `OneWayReader.stacks`."""
        return {**super().stacks(), BACKWARD: StackConfig.of(self.config)}

    def outputs(
        self, weights: Weights, tokenizer: Tokenizer, ids: Ids, tracks: Mapping[str, Floats]
    ) -> Iterator[Floats]:
        """See `OneWayReader.outputs`."""
        own = {name: array for name, array in tracks.items() if not name.startswith(BACKWARD)}
        yield from super().outputs(weights, tokenizer, ids, own)
        # What reads against the text writes its tracks from their ends.
        turned = {n.removeprefix(BACKWARD): a[::-1] for n, a in tracks.items() if n not in own}
        if turned:
            stack = StackConfig.of(self.config)
            for _ in StackTracer(stack, weights, BACKWARD, len(ids)).blocks(ids[::-1], turned):
                pass


def known_ids(tokenizer: Tokenizer, text: str) -> Ids:
    """The tokens of a text; `InputError` if it has none that the model knows."""
    ids = tokenizer.encode(text)
    if not len(ids):
        raise InputError("the text is empty: give it something to read")
    if tokenizer.unknown_id is not None and (ids == tokenizer.unknown_id).all():
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of this text, such as "
            f"{tokenizer.unknowns(text, 1)[0]!r}: give it a text like the one it was trained on"
        )
    return ids
