"""One sentence as a sentence VAE reads it: the tokens of a line, and its line break."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.values import check_text

END = "\n"
"""What a sentence begins after, and what ends it."""
SHOWN = 40

Ids = npt.NDArray[np.integer[Any]]


def end_id(tokenizer: Tokenizer) -> int:
    """The token that a sentence begins after and ends with. Raises `InputError` without one."""
    ids = tokenizer.encode(END)
    if len(ids) != 1 or int(ids[0]) == tokenizer.unknown_id:
        raise InputError(
            "this model's vocabulary has no line break to end a sentence with: train one on a text "
            "of one sentence a line"
        )
    return int(ids[0])


def sentence_ids(
    tokenizer: Tokenizer, sentence: str, longest: int | None, *, known: bool = True
) -> Ids:
    """Token ids (N,) of a sentence and of the symbol that ends it.

    Raises `InputError` if the sentence is empty, is several lines, has more than `longest` tokens
    or, where one must be `known`, none that the model knows.
    """
    check_text(sentence, "a sentence")
    line = sentence.strip()
    if not line:
        raise InputError("a sentence is empty; give it at least one word")
    if END in line:
        raise InputError(f"{shown(line)} is more than one line, and a sentence is one; split it")
    # Encoded between line breaks, as it stood in the text that the model was trained on.
    ids = tokenizer.encode(END + line + END)[1:]
    own = ids[:-1]
    if longest is not None and len(own) > longest:
        raise InputError(
            f"{shown(line)} has {len(own)} {tokenizer.token_noun}s, and this model reads sentences "
            f"of up to {longest}; shorten it"
        )
    if known and of_unknowns_only(ids, tokenizer.unknown_id):
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of {shown(line)}; write it in others"
        )
    return ids


def of_unknowns_only(ids: Ids, unknown_id: int | None) -> bool:
    """Whether no token of a sentence is known but the one that ends it."""
    return unknown_id is not None and bool((ids[:-1] == unknown_id).all())


def shown(line: str) -> str:
    """A sentence as messages quote it, shortened if it is long."""
    return repr(line if len(line) <= SHOWN else line[: SHOWN - 1].rstrip() + "…")
