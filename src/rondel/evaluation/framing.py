"""What stands before a text that is scored, and what after it: said, never assumed.

A model has no sign of its own for the beginning of a text or for its end. In the texts that models
are trained on, a line break does that for a line, and it may do so here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rondel.checked import check_fields
from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Ids, Spans

STARTS = ("newline", "skip")
LINE_BREAK = "\n"


class Passage(NamedTuple):
    """A text ready to be read."""

    ids: Ids
    """The tokens of what comes before, then the text's own (N of them)."""
    before: int
    """How many stand before. With none, the first of the text cannot be scored."""
    spans: Spans
    """Where the text's own tokens stand in it: begin and end in characters, (N, 2).

    One that is shared with the context begins before 0.
    """

    @property
    def own_ids(self) -> Ids:
        """The text's own tokens (N,)."""
        return self.ids[self.before :]


@dataclass(frozen=True)
class Framing:
    """How a text begins and ends.

    `start`: what its first token is predicted from. `newline`: a line break; `skip`: nothing, and
    it is not scored; `None`: the first of these that the model can do. A `context` is a text that
    goes before instead, read and not scored. With `end`, a line break that ends the text is scored
    too, whether it is written there or not. A word that context and text share, as in "The c" and
    "up", is refused, or with `takes_shared` belongs to the text.
    """

    start: str | None = None
    end: bool = False
    context: str = ""
    takes_shared: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if self.start not in (None, *STARTS):
            raise InputError(f"the start is one of {', '.join(STARTS)}, not {self.start!r}")
        if self.start is not None and self.context:
            raise InputError("a context is what the text starts from: leave the start out")

    def ended(self, text: str) -> str:
        """The text with the line break at its end that is to be scored."""
        return text + LINE_BREAK if self.end and not text.endswith(LINE_BREAK) else text

    def passage(self, tokenizer: Tokenizer, text: str) -> Passage:
        """The tokens to read for a text.

        Raises `InputError` for a start or an end that the model lacks, or a context that does not
        end where a token does.
        """
        if self.end and not knows_line_break(tokenizer):
            raise InputError(
                "this model knows no line break, so the end of a text cannot be scored; leave it"
            )
        if self.context:
            return self._after_context(tokenizer, text)
        ids, start = tokenizer.encode(text), self.start_of(tokenizer)
        before = tokenizer.encode(LINE_BREAK) if start == "newline" else ids[:0]
        return Passage(np.concatenate([before, ids]), len(before), tokenizer.spans(text))

    def start_of(self, tokenizer: Tokenizer) -> str:
        """`newline` or `skip`, as it will be; `context` where there is one."""
        if self.context:
            return "context"
        if self.start == "newline" and not knows_line_break(tokenizer):
            raise InputError(
                "this model knows no line break for a text to start from; skip the first "
                f"{tokenizer.token_noun}, or give a context"
            )
        return self.start or ("newline" if knows_line_break(tokenizer) else "skip")

    def _after_context(self, tokenizer: Tokenizer, text: str) -> Passage:
        # Together, since at word level the space between the two is no token.
        joint, length = self.context + text, len(self.context)
        spans = tokenizer.spans(joint)
        before = int((spans[:, 1] <= length).sum())
        if before < len(spans) and spans[before, 0] < length and not self.takes_shared:
            begin, end = spans[before]
            raise InputError(
                f"context and text run together in {joint[begin:end]!r}; "
                "end the context with a space or a line break"
            )
        return Passage(tokenizer.encode(joint), before, spans[before:] - length)


def knows_line_break(tokenizer: Tokenizer) -> bool:
    """Whether a line break is in the vocabulary."""
    ids = tokenizer.encode(LINE_BREAK)
    return len(ids) > 0 and tokenizer.unknown_id not in ids.tolist()
