"""Encoding a sentence for a sentence VAE: the tokens of a line, and its line break."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.text.tokenizers import Tokenizer
from rondel.values import check_text

END = "\n"
"""A sentence is preceded by a line break, and ends with one."""
SHOWN = 40

Ids = npt.NDArray[np.integer[Any]]


def end_id(tokenizer: Tokenizer) -> int:
    """Return the id of the line break, which ends a sentence. Raises `InputError` without one."""
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
    """Encode a sentence and the line break that ends it: token ids (N,).

    Raises `InputError` if the sentence is empty, is several lines, has more than `longest` tokens
    or, with `known`, has no known token.
    """
    check_text(sentence, "a sentence")
    line = sentence.strip()
    if not line:
        raise InputError("a sentence is empty; give it at least one word")
    if END in line:
        raise InputError(f"{shown(line)} is more than one line, and a sentence is one; split it")
    # Encoded between line breaks, as in the training text.
    ids = tokenizer.encode(END + line + END)[1:]
    length = len(ids) - 1
    if longest is not None and length > longest:
        raise InputError(
            f"{shown(line)} has {length} {tokenizer.token_noun}s, and this model reads sentences "
            f"of up to {longest}; shorten it"
        )
    if known and of_unknowns_only(ids, tokenizer.unknown_id):
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of {shown(line)}; write it in others"
        )
    return ids


def of_unknowns_only(ids: Ids, unknown_id: int | None) -> bool:
    """Return whether a sentence has only unknown tokens before its line break."""
    return unknown_id is not None and bool((ids[:-1] == unknown_id).all())


def refuse_unknowns_only(tokenizer: Tokenizer, unknown_only: int, sentences: int) -> None:
    """Raise `InputError` if all of so many sentences are of unknown tokens only."""
    if sentences and unknown_only == sentences:
        raise InputError(
            f"the model knows no {tokenizer.token_noun} of any of the sentences; give it some in "
            "the language of the text that it was trained on"
        )


def shown(line: str) -> str:
    """Quote a sentence for a message, shortened if it is long."""
    return repr(line if len(line) <= SHOWN else line[: SHOWN - 1].rstrip() + "…")
