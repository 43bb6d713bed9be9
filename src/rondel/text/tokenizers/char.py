"""The character tokenizer: every character of the text, or the 128 of ASCII."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.settings.fields import setting
from rondel.text.parallel import in_order, is_for_kernels
from rondel.text.tokenizers import tokenizers
from rondel.text.tokenizers.base import Cut, Decoder, Ids, Spans, Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Self

UNKNOWN = "<unk>"
ASCII = "".join(map(chr, range(128)))
SUBSTITUTE = 0x1A
"""ASCII's control character for one that cannot be represented."""

CHUNK = 1 << 22
"""Characters looked up at a time, so that a long text needs little memory besides its ids."""

CODE_POINTS = 0x110000


@dataclass(frozen=True)
class CharSettings:
    """The settings of a `CharTokenizer`."""

    charset: str = setting(
        "text",
        "every character of the text, or the 128 of ASCII",
        choices=("text", "ascii"),
    )


@tokenizers.register("char")
class CharTokenizer(Tokenizer):
    """One token for each character.

    With charset `text`, the vocabulary is `<unk>`, id 0, and the text's characters by code point.
    With `ascii`, it is the 128 characters of ASCII at their codes, and SUB (26) is the unknown one.
    """

    level = "char"
    settings = CharSettings
    kept_settings = ("charset",)
    token_noun = "character"

    def __init__(self, charset: str, characters: str) -> None:
        codes = _codes(characters)
        if (np.diff(codes.astype(np.int64)) <= 0).any():
            raise ValueError("the characters are not in order of their code points")
        if charset not in ("text", "ascii") or (charset == "ascii" and characters != ASCII):
            raise ValueError(f"these are not the characters of charset {charset!r}")
        self._charset, self._characters = charset, characters
        unknown = [] if charset == "ascii" else [UNKNOWN]
        self._tokens = unknown + list(characters)
        self._unknown_id = 0 if unknown else SUBSTITUTE
        # One entry more than the highest code: all higher codes are looked up there.
        self._id_of_code = np.full(int(codes.max(initial=0)) + 2, self._unknown_id, np.int32)
        self._id_of_code[codes] = np.arange(len(unknown), len(self._tokens), dtype=np.int32)

    @classmethod
    def train(cls, text: str, settings: CharSettings) -> Self:
        """Collect the characters of a text; `InputError` if it does not have two different ones."""
        return cls.train_from([text], settings)

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: CharSettings) -> Self:
        """As `train`, from pieces of a text."""
        characters = _characters_of(texts)
        if not characters:
            raise InputError("this text is empty: give it something to learn from")
        if len(characters) == 1:
            raise InputError(
                f"this text is one character, {characters!r}, over and over: nothing to learn"
            )
        if settings.charset == "ascii":
            if not any(character.isascii() for character in characters):
                raise InputError("this text has no ASCII character: use --charset text")
            characters = ASCII
        return cls(settings.charset, characters)

    @classmethod
    def train_from_utf8(cls, blocks: Iterable[bytes], settings: CharSettings) -> Self:
        """As `train_from`, from pieces in UTF-8; long ones by a compiled kernel, in threads."""
        return cls.train_from([_characters_of_utf8(blocks)], settings)

    def extended_from_utf8(self, blocks: Iterable[bytes], settings: Any) -> CharTokenizer:
        """As `extended_from`, from pieces in UTF-8."""
        return self.extended_from([_characters_of_utf8(blocks)], settings)

    def extended(self, text: str, settings: CharSettings) -> CharTokenizer:
        """Return a tokenizer with the characters of a text added; not for charset `ascii`."""
        return self.extended_from([text], settings)

    def extended_from(self, texts: Iterable[str], settings: CharSettings) -> CharTokenizer:
        """As `extended`, with pieces of a text."""
        if self._charset == "ascii":
            return self
        return CharTokenizer(
            self._charset, _characters_of(itertools.chain([self._characters], texts))
        )

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return len(self._tokens)

    @property
    def unknown_id(self) -> int:
        """0, or 26 for ASCII."""
        return self._unknown_id

    def encode(self, text: str) -> Ids:
        """Encode a text as token ids (N,), int32, one a character."""
        ids = np.empty(len(text), np.int32)
        last = len(self._id_of_code) - 1
        for start, codes in _chunks(text):
            ids[start : start + len(codes)] = self._id_of_code[np.minimum(codes, last)]
        return ids

    def block_encoder(self) -> Callable[[bytes], Ids]:
        """Return a compiled encoder, whose ids have the smallest integer type."""
        dtype = np.min_scalar_type(self.vocab_size - 1)

        def encode(data: bytes) -> Ids:
            if not is_for_kernels(data):
                return self.encode(self.from_utf8(data))
            from rondel.kernels.text.characters import look_up_characters

            ids = np.empty(len(data), dtype)
            count = look_up_characters(np.frombuffer(data, np.uint8), self._id_of_code, ids)
            return ids[:count]

        return encode

    def cut(self, text: str, near: int) -> Cut | None:
        """Cut anywhere."""
        return Cut(place, place) if (place := min(near, len(text))) > 0 else None

    def spans(self, text: str) -> Spans:
        """Return the span of each character."""
        begins = np.arange(len(text))
        return np.stack([begins, begins + 1], axis=1)

    def unknowns(self, text: str, at_most: int = 10) -> list[str]:
        """Return the first different unknown characters of a text."""
        found: dict[str, None] = {}
        known = set(self._characters)
        for place in np.flatnonzero(self.encode(text) == self._unknown_id):
            if len(found) == at_most:
                break
            if text[place] not in known:
                found[text[place]] = None
        return list(found)

    def decoder(self) -> CharDecoder:
        """Return a decoder, which writes U+FFFD for `<unk>`."""
        return CharDecoder(self._tokens)

    def token(self, token_id: int) -> str:
        """Return the character, or `<unk>`."""
        return self._tokens[token_id]

    def starts_word(self, previous_id: int) -> bool:
        """Return whether the previous character is white space."""
        return self._tokens[previous_id].isspace()

    def state(self) -> dict[str, Any]:
        """Return the charset's name and its characters as one string."""
        return {"charset": self._charset, "characters": self._characters}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Build it from its `state`; `ValueError`, `TypeError` or `KeyError` if that is invalid."""
        if not isinstance(state["characters"], str):
            raise TypeError("the characters are not a string")
        return cls(state["charset"], state["characters"])


class CharDecoder(Decoder):
    """Decodes each token to its character."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens

    def push(self, token_id: int) -> str:
        """Return the character, or U+FFFD for the unknown one."""
        token = self._tokens[token_id]
        return "\N{REPLACEMENT CHARACTER}" if token == UNKNOWN else token

    def peek(self, token_id: int) -> str:
        """See `Decoder.peek`."""
        return self.push(token_id)

    def finish(self) -> str:
        """Return an empty text: nothing is kept back."""
        return ""


def _characters_of(texts: Iterable[str]) -> str:
    """Return every character of some texts once, by code point."""
    seen = np.zeros(CODE_POINTS, np.bool_)
    for text in texts:
        for _, codes in _chunks(text):
            seen[codes] = True
    return "".join(map(chr, np.flatnonzero(seen).tolist()))


def _characters_of_utf8(blocks: Iterable[bytes]) -> str:
    seen = np.zeros(CODE_POINTS, np.bool_)

    def mark(data: bytes) -> None:
        if is_for_kernels(data):
            from rondel.kernels.text.characters import mark_characters

            mark_characters(np.frombuffer(data, np.uint8), seen)
        else:
            seen[_codes(CharTokenizer.from_utf8(data))] = True

    # Threads can share the table, since marks are only set.
    deque(in_order(lambda: mark, blocks), maxlen=0)
    return "".join(map(chr, np.flatnonzero(seen).tolist()))


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _chunks(text: str) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
    """Yield the code points of a text in chunks, with the start of each."""
    for start in range(0, len(text), CHUNK):
        yield start, _codes(text[start : start + CHUNK])
