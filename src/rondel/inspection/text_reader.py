"""How each kind of model reads a traced text: with which stacks, in which direction.

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
"""Prefix of the tracks of a stack that reads from the end of the text."""


class OneWayReader:
    """Reads a text left to right, with the one stack of a language model."""

    can_be_clamped = True
    """Whether tokens are predicted from units of the stack `core` alone."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    def stacks(self) -> dict[str, StackConfig]:
        """The stacks, by the prefix of their tracks' names."""
        return {"": StackConfig.of(self.config)}

    def gates_of(self, array: str) -> int:
        """The number of gates in the rows of a layer's array."""
        return len(StackConfig.of(self.config).cell.gates)

    def read(self, tokenizer: Tokenizer, text: str) -> tuple[Ids, Spans]:
        """Encode a text as the model reads it: ids (N,) and spans (N, 2).

        Raises `InputError` for a text that is empty or without a known token.
        """
        return encode_known(tokenizer, text), tokenizer.spans(text)

    def outputs(
        self, weights: Weights, tokenizer: Tokenizer, ids: Ids, tracks: Mapping[str, Floats]
    ) -> Iterator[Floats]:
        """Fill tracks (N, L, H); yield the outputs (T, H) that next tokens are predicted from."""
        stack = StackConfig.of(self.config)
        yield from StackTracer(stack, weights, "core.", len(ids)).blocks(ids, tracks)


class TwoWayReader(OneWayReader):
    """Also reads right to left, with the second stack of a bidirectional model."""

    def stacks(self) -> dict[str, StackConfig]:
        """See `OneWayReader.stacks`."""
        return {**super().stacks(), BACKWARD: StackConfig.of(self.config)}

    def outputs(
        self, weights: Weights, tokenizer: Tokenizer, ids: Ids, tracks: Mapping[str, Floats]
    ) -> Iterator[Floats]:
        """See `OneWayReader.outputs`."""
        forward = {name: array for name, array in tracks.items() if not name.startswith(BACKWARD)}
        yield from super().outputs(weights, tokenizer, ids, forward)
        # Reversed views, so that the stack can fill them in reading order.
        others = {n.removeprefix(BACKWARD): a[::-1] for n, a in tracks.items() if n not in forward}
        if others:
            stack = StackConfig.of(self.config)
            for _ in StackTracer(stack, weights, BACKWARD, len(ids)).blocks(ids[::-1], others):
                pass


def encode_known(tokenizer: Tokenizer, text: str) -> Ids:
    """Encode a text; raises `InputError` if it has no known token."""
    ids = tokenizer.encode(text)
    if not len(ids):
        raise InputError("the text is empty: give a text to read")
    if tokenizer.unknown_id is not None and (ids == tokenizer.unknown_id).all():
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of this text, such as "
            f"{tokenizer.unknowns(text, 1)[0]!r}: give it a text like the one it was trained on"
        )
    return ids
