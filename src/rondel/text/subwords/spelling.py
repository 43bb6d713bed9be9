"""The bytes and names of a tokenizer's tokens, and their spans in a text.

Shapes: N tokens, V vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.text.subwords.splitting import BYTE_CHARACTERS, BYTE_OF
from rondel.text.utf8 import bytes_of, characters_of_bytes

Ids = npt.NDArray[np.integer[Any]]
Spans = npt.NDArray[np.int64]

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
MOST_HOLES = 1000
"""The most ids without a token that a vocabulary may have."""
KINDS = ("BPE", "Unigram", "WordPiece")


class Spelling:
    """The tables of a vocabulary. Raises `ValueError` for a kind of model that is not in `KINDS`.

    `tokens` has the spellings in the file, `later` the bytes within a text and `first` those at its
    beginning, where some tokens lose a space; `names` are unique names to show.
    """

    def __init__(self, hf: Any, state: dict[str, Any]) -> None:
        kind = state["model"].get("type")
        if kind not in KINDS:
            raise ValueError(f"its model is {kind!r}, not one of {', '.join(KINDS)}")
        vocab: dict[str, int] = hf.get_vocab(with_added_tokens=True)
        size = max(vocab.values(), default=-1) + 1
        if size > MOST_HOLES + len(vocab):
            raise ValueError(f"it has a token {size - 1}, and {len(vocab)} tokens in all")
        self.tokens = [f"<{i}>" for i in range(size)]
        for token, token_id in vocab.items():
            self.tokens[token_id] = token
        if len(self.tokens) < 2:
            raise ValueError("its vocabulary is empty")
        of_bytes = '"ByteLevel"' in json.dumps(state["decoder"])
        added = {entry["content"] for entry in state["added_tokens"]}
        if of_bytes:
            self.later = [_from_characters(t, t in added) for t in self.tokens]
            self.first = self.later
        else:
            self.first, self.later = _decoded(hf, self.tokens, added)
        self.unknown_id = _unknown_id(state, vocab, of_bytes)
        names = [_name(piece) for piece in self.later] if of_bytes else self.tokens
        self.names = names if len(set(names)) == len(names) else self.tokens
        self._lengths_V = np.array([len(piece) for piece in self.later])
        starts = [piece.startswith(b" ") for piece in self.later]
        self.space_led_V: npt.NDArray[np.bool_] = np.array(starts, np.bool_)
        self._byte_ids = {
            piece[0]: i for i, piece in reversed(list(enumerate(self.later))) if len(piece) == 1
        }

    def ids_of_bytes(self, data: bytes) -> Ids:
        """Return the token of each byte."""
        return np.array([self._byte_ids[byte] for byte in data], np.int32)

    def joined(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of tokens from the beginning of a text."""
        ids = iter(ids)
        begin = [self.first[i] for i in [next(ids, None)] if i is not None]
        return b"".join(begin) + b"".join(map(self.later.__getitem__, ids))

    def is_whole(self, token_id: int) -> bool:
        """Return whether a character ends where the token ends."""
        piece = self.later[token_id]
        # The bytes 0x80 to 0xBF continue a character; its first byte determines how many.
        for back in range(1, min(4, len(piece)) + 1):
            byte = piece[-back]
            if byte < 0x80:
                return back == 1
            if byte >= 0xC0:
                return back == 2 + (byte >= 0xE0) + (byte >= 0xF0)
        return not piece

    def spans(self, ids: Ids, text: str) -> Spans | None:
        """Return the spans (N, 2) of tokens in their text; `None` if they do not give it back."""
        data = bytes_of(text)
        if len(ids) == 0 or self.joined(ids.tolist()) != data:
            return np.zeros((0, 2), np.int64) if not data and len(ids) == 0 else None
        lengths = self._lengths_V[ids]
        lengths[0] = len(self.first[int(ids[0])])
        if not lengths.all():
            return None
        ends = np.cumsum(lengths)
        of_byte = characters_of_bytes(text)
        return np.stack([of_byte[ends - lengths], of_byte[ends - 1] + 1], axis=1)


def _from_characters(token: str, is_added: bool) -> bytes:
    if is_added or any(character not in BYTE_OF for character in token):
        return token.encode("utf-8", "replace")
    return bytes(map(BYTE_OF.__getitem__, token))


def _name(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return " ".join(f"0x{byte:02X}" for byte in piece)


def _decoded(hf: Any, tokens: list[str], added: set[str]) -> tuple[list[bytes], list[bytes]]:
    """Return the bytes that each token adds at the beginning of a text, and within one."""
    alone = hf.decode_batch([[i] for i in range(len(tokens))], skip_special_tokens=False)
    anchor = next((i for i, text in enumerate(alone) if text.isascii() and text.isalpha()), 0)
    begin = len(alone[anchor])
    pairs = hf.decode_batch([[anchor, i] for i in range(len(tokens))], skip_special_tokens=False)
    first = [text.encode("utf-8", "replace") for text in alone]
    later = [text[begin:].encode("utf-8", "replace") for text in pairs]
    for i, token in enumerate(tokens):
        match = BYTE_TOKEN.fullmatch(token)
        if match and alone[i] != token:
            first[i] = later[i] = bytes([int(match[1], 16)])
    return first, later


def _unknown_id(state: dict[str, Any], vocab: dict[str, int], of_bytes: bool) -> int | None:
    """Return the id of the unknown token; `None` if the vocabulary has every byte."""
    model = state["model"]
    if of_bytes and vocab.keys() >= set(BYTE_CHARACTERS):
        return None
    if model.get("byte_fallback") and all(f"<0x{byte:02X}>" in vocab for byte in range(256)):
        return None
    if model["type"] == "Unigram":
        unknown: int | None = model.get("unk_id")
        return unknown
    return vocab.get(model.get("unk_token") or "")
