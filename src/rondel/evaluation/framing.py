"""What a scored text is preceded by, and whether its end is scored.

Models have no begin-of-text or end-of-text symbol. In training texts a line break begins and ends
a line, so it can serve as both here.
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
    """An encoded text with its context."""

    ids: Ids
    """The token ids of the context, then those of the text (N of them)."""
    context_length: int
    """How many tokens the context has. If 0, the first token of the text cannot be scored."""
    spans: Spans
    """Begin and end of the text's tokens in the text, in characters, (N, 2).

    A token that starts in the context begins below 0.
    """

    @property
    def text_ids(self) -> Ids:
        """The text's token ids (N,), without the context's."""
        return self.ids[self.context_length :]


@dataclass(frozen=True)
class Framing:
    """How a text begins and ends.

    `start`: what the first token is predicted from. `newline`: a line break; `skip`: nothing, and
    the first token is not scored; `None`: `newline` if the vocabulary has it, else `skip`. A
    `context` is read before the text instead, and not scored. With `end`, the text's final line
    break is scored too, and added if missing. A token that spans context and text, as with "The c"
    and "up", raises `InputError`; with `takes_shared` it counts as the text's.
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
            raise InputError("a text with a context starts from it: leave the start out")

    def ended(self, text: str) -> str:
        """Return the text, with a line break at its end if the end is to be scored."""
        return text + LINE_BREAK if self.end and not text.endswith(LINE_BREAK) else text

    def passage(self, tokenizer: Tokenizer, text: str) -> Passage:
        """Encode a text with its context.

        Raises `InputError` for a start or an end that the vocabulary lacks, or a context that ends
        within a token.
        """
        if self.end and not has_line_break(tokenizer):
            raise InputError(
                "this model knows no line break, so the end of a text cannot be scored; leave it"
            )
        if self.context:
            return self._after_context(tokenizer, text)
        ids, start = tokenizer.encode(text), self.resolved_start(tokenizer)
        context_ids = tokenizer.encode(LINE_BREAK) if start == "newline" else ids[:0]
        return Passage(np.concatenate([context_ids, ids]), len(context_ids), tokenizer.spans(text))

    def resolved_start(self, tokenizer: Tokenizer) -> str:
        """The start to use with this vocabulary: `newline`, `skip` or `context`."""
        if self.context:
            return "context"
        if self.start == "newline" and not has_line_break(tokenizer):
            raise InputError(
                "this model knows no line break for a text to start from; skip the first "
                f"{tokenizer.token_noun}, or give a context"
            )
        return self.start or ("newline" if has_line_break(tokenizer) else "skip")

    def _after_context(self, tokenizer: Tokenizer, text: str) -> Passage:
        # Encoded together: at word level the space between the two is no token.
        joint, length = self.context + text, len(self.context)
        spans = tokenizer.spans(joint)
        first = int((spans[:, 1] <= length).sum())
        shared = joint[spans[first, 0] : length] if first < len(spans) else ""
        if shared.isspace():
            # The space before a word is part of its token: the word is the text's.
            spans[first, 0] = length
        elif shared and not self.takes_shared:
            begin, end = spans[first]
            raise InputError(
                f"context and text run together in {joint[begin:end]!r}; "
                "end the context with a space or a line break"
            )
        return Passage(tokenizer.encode(joint), first, spans[first:] - length)


def has_line_break(tokenizer: Tokenizer) -> bool:
    """Whether a line break is in the vocabulary."""
    ids = tokenizer.encode(LINE_BREAK)
    return len(ids) > 0 and tokenizer.unknown_id not in ids.tolist()
