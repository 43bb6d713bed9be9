"""Bytes: 256 tokens, and every file can be read."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rondel.errors import InputError
from rondel.text.tokenizers import tokenizers
from rondel.text.tokenizers.base import Cut, Decoder, Ids, Spans, Tokenizer
from rondel.text.utf8 import NO_BYTE, bytes_of, characters_of_bytes

if TYPE_CHECKING:
    from typing_extensions import Self


@tokenizers.register("byte")
class ByteTokenizer(Tokenizer):
    """One token a byte of the text's UTF-8, its id the byte's value."""

    level = "byte"
    token_noun = "byte"
    reads_bytes = splits_characters = True

    @classmethod
    def train(cls, text: str, settings: Any) -> Self:
        """Nothing is learnt; `InputError` if the text has not two different bytes."""
        return cls.train_from([text], settings)

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: Any) -> Self:
        """The same from pieces of a text."""
        first = ""
        for text in filter(None, texts):
            first = first or text[0]
            # A character past ASCII is several different bytes already.
            if text != first * len(text) or len(bytes_of(first)) > 1:
                return cls()
        if not first:
            raise InputError("this text is empty: give it something to learn from")
        raise InputError(f"this text is one byte, {first!r}, over and over: nothing to learn")

    def extended(self, text: str, settings: Any) -> ByteTokenizer:
        """Itself: there is no other byte."""
        return self

    @property
    def vocab_size(self) -> int:
        """256."""
        return 256

    @property
    def unknown_id(self) -> None:
        """None: there is no other byte."""
        return

    def encode(self, text: str) -> Ids:
        """Token ids of a text, shape (N,), int32: as many as it has bytes."""
        return np.frombuffer(bytes_of(text), np.uint8).astype(np.int32)

    def block_encoder(self) -> Callable[[bytes], Ids]:
        """The bytes are the ids, unless a tokenizer made of this one encodes otherwise."""
        if type(self).encode is not ByteTokenizer.encode:
            return super().block_encoder()
        return lambda data: np.frombuffer(data, np.uint8)

    def cut(self, text: str, near: int) -> Cut | None:
        """Anywhere between two characters."""
        return Cut(place, place) if (place := min(near, len(text))) > 0 else None

    def spans(self, text: str) -> Spans:
        """For every byte, that of the character it is a part of."""
        begins = characters_of_bytes(text)
        return np.stack([begins, begins + 1], axis=1)

    def unknowns(self, text: str, at_most: int = 10) -> list[str]:
        """The first different characters that no bytes stand for: lone surrogates alone."""
        return list(dict.fromkeys(NO_BYTE.findall(text)))[:at_most]

    def decoder(self) -> Decoder:
        """A decoder that waits for the last byte of a character."""
        return ByteDecoder()

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the bytes; `encode` gives the same ones back."""
        return bytes(map(int, ids)).decode("utf-8", "surrogateescape")

    def token(self, token_id: int) -> str:
        """The byte in hexadecimal, as in `0x41`."""
        return f"0x{range(256)[token_id]:02X}"

    def starts_word(self, previous_id: int) -> bool:
        """Whether the previous byte is ASCII white space."""
        return bytes([previous_id]).isspace()

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ValueError` if it holds anything."""
        if state:
            raise ValueError("bytes have no vocabulary to store")
        return cls()


class ByteDecoder(Decoder):
    """Puts UTF-8 together byte by byte; a byte that is none becomes its lone surrogate."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def push(self, token_id: int) -> str:
        """The characters that this byte completes, which may be none."""
        return self._utf8.decode(bytes([token_id]))

    def peek(self, token_id: int) -> str:
        """See `Decoder.peek`."""
        before = self._utf8.getstate()
        text = self.push(token_id)
        self._utf8.setstate(before)
        return text

    def finish(self) -> str:
        """The bytes of a character that was begun and not ended."""
        return self._utf8.decode(b"", final=True)

    def __copy__(self) -> ByteDecoder:
        copied = ByteDecoder()
        copied._utf8.setstate(self._utf8.getstate())
        return copied
