"""The byte tokenizer: 256 tokens, for any file."""

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
    """One token for each byte of the text's UTF-8; its id is the byte's value."""

    level = "byte"
    token_noun = "byte"
    reads_bytes = splits_characters = True

    @classmethod
    def train(cls, text: str, settings: Any) -> Self:
        """Return the tokenizer; `InputError` if the text does not have two different bytes."""
        return cls.train_from([text], settings)

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: Any) -> Self:
        """As `train`, from pieces of a text."""
        first = ""
        for text in filter(None, texts):
            first = first or text[0]
            # A character outside ASCII is several different bytes.
            if text != first * len(text) or len(bytes_of(first)) > 1:
                return cls()
        if not first:
            raise InputError("this text is empty: give it something to learn from")
        raise InputError(f"this text is one byte, {first!r}, over and over: nothing to learn")

    def extended(self, text: str, settings: Any) -> ByteTokenizer:
        """Return this tokenizer: there are no other bytes."""
        return self

    @property
    def vocab_size(self) -> int:
        """256."""
        return 256

    @property
    def unknown_id(self) -> None:
        """None: every byte is known."""
        return

    def encode(self, text: str) -> Ids:
        """Encode a text as token ids (N,), int32, one a byte."""
        return np.frombuffer(bytes_of(text), np.uint8).astype(np.int32)

    def block_encoder(self) -> Callable[[bytes], Ids]:
        """Return the bytes as ids, unless a subclass overrides `encode`."""
        if type(self).encode is not ByteTokenizer.encode:
            return super().block_encoder()
        return lambda data: np.frombuffer(data, np.uint8)

    def cut(self, text: str, near: int) -> Cut | None:
        """Cut between any two characters."""
        return Cut(place, place) if (place := min(near, len(text))) > 0 else None

    def spans(self, text: str) -> Spans:
        """Return, for every byte, the span of its character."""
        begins = characters_of_bytes(text)
        return np.stack([begins, begins + 1], axis=1)

    def unknowns(self, text: str, at_most: int = 10) -> list[str]:
        """Return the first different characters without bytes: some lone surrogates."""
        return list(dict.fromkeys(NO_BYTE.findall(text)))[:at_most]

    def decoder(self) -> Decoder:
        """Return a decoder that waits for the last byte of a character."""
        return ByteDecoder()

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the bytes; `encode` gives the same bytes."""
        return bytes(map(int, ids)).decode("utf-8", "surrogateescape")

    def token(self, token_id: int) -> str:
        """Return the byte in hexadecimal, as in `0x41`."""
        return f"0x{range(256)[token_id]:02X}"

    def starts_word(self, previous_id: int) -> bool:
        """Return whether the previous byte is ASCII white space."""
        return bytes([previous_id]).isspace()

    def state(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Build a tokenizer from its `state`; `ValueError` if it is not empty."""
        if state:
            raise ValueError("bytes have no vocabulary to store")
        return cls()


class ByteDecoder(Decoder):
    """Decodes UTF-8 byte by byte; an invalid byte becomes a lone surrogate."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def push(self, token_id: int) -> str:
        """Return the characters that this byte completes, if any."""
        return self._utf8.decode(bytes([token_id]))

    def peek(self, token_id: int) -> str:
        """See `Decoder.peek`."""
        before = self._utf8.getstate()
        text = self.push(token_id)
        self._utf8.setstate(before)
        return text

    def finish(self) -> str:
        """Return the bytes of an incomplete character."""
        return self._utf8.decode(b"", final=True)

    def __copy__(self) -> ByteDecoder:
        copied = ByteDecoder()
        copied._utf8.setstate(self._utf8.getstate())
        return copied
