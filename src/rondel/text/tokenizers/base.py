"""The base class of tokenizers, and the interface of decoders."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import Self

Ids = npt.NDArray[np.integer[Any]]
Spans = npt.NDArray[np.int64]

VOCAB_SIZE_HELP = (
    "how many tokens to keep: of words the commonest (10,000 unless given), the rest are <unk>; of "
    "subwords (8,000) the 256 bytes and others"
)
"""Shared, because a flag has one help text."""


class Decoder(ABC):
    """Turns tokens into text one by one; it keeps back incomplete characters.

    `copy.copy` gives an independent decoder in the same state.
    """

    @abstractmethod
    def push(self, token_id: int) -> str:
        """Add a token and return the text that it completes, which may be empty."""

    @abstractmethod
    def finish(self) -> str:
        """Return the text that was kept back."""

    def peek(self, token_id: int) -> str:
        """Return the text that `push` would return for a token, without adding it."""
        return copy.copy(self).push(token_id)


class Cut(NamedTuple):
    """A place to cut a text in two, in characters: `text[:end]` and `text[begin:]`.

    Between the two is nothing, or white space that the tokens imply.
    """

    end: int
    begin: int


@dataclass(frozen=True)
class NoSettings:
    """No settings."""


class Tokenizer(ABC):
    """Maps text to token ids 0 … vocab_size - 1 and back.

    Text is always `str`. At byte level, invalid UTF-8 is represented by the lone surrogates of
    Python's `surrogateescape`, so every file can be read and written back.
    """

    level: ClassVar[str]
    """The name it is registered under."""

    settings: ClassVar[type] = NoSettings
    """The dataclass of its settings, an argument of `train`."""

    kept_settings: ClassVar[tuple[str, ...]] = ()
    """The settings that its state contains, under the same names."""

    token_noun: ClassVar[str]
    """The noun for a token, in the singular: "character", "byte", "word"."""

    # Traits, which other code uses instead of the name.
    reads_bytes: ClassVar[bool] = False
    """Its text is bytes: files are read unchanged, whatever their encoding."""

    splits_characters: ClassVar[bool] = False
    """A token may be part of a character, which is shown when its last token is decoded."""

    whole_words: ClassVar[bool] = False
    """Its tokens are words: texts are not cut within one, and sentences are counted in words."""

    implies_space: ClassVar[bool] = False
    """White space between two tokens is implied, and belongs to neither."""

    commonest_first: ClassVar[bool] = False
    """Ids rise as tokens get rarer in the text that it was trained on, but for `<unk>`."""

    open_vocabulary: ClassVar[bool] = False
    """No text has all tokens of the language: the vocabulary is that of the training split, unknown
    tokens are normal, and the defaults of training are for few examples of each token."""

    known_by: ClassVar[str] = ""
    """If its state is another tool's file format: a key that only this format has. The state is
    then the content of a model's `tokenizer.json`, without the level."""

    @property
    def is_own(self) -> bool:
        """Whether all that it does is rondel's, and its state is enough to do it elsewhere."""
        return True

    @classmethod
    def settings_types(cls) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        return {"text": cls.settings}

    @classmethod
    @abstractmethod
    def train(cls, text: str, settings: Any) -> Self:
        """Build the vocabulary from a text; `settings` is an instance of the class's `settings`.

        Raises `InputError` if the text has no vocabulary.
        """

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: Any) -> Self:
        """Build it from the pieces of a text, in order, each read once.

        If they were cut by `cut` of a tokenizer with these settings, the vocabulary is that of the
        whole text. The default joins them in memory.
        """
        return cls.train("".join(texts), settings)

    @abstractmethod
    def extended(self, text: str, settings: Any) -> Tokenizer:
        """Return a tokenizer with the tokens of this one and those that `train` finds in a text.

        Every token keeps its spelling, but not its id. Text is split as by this tokenizer, whatever
        `settings` says.
        """

    def extended_from(self, texts: Iterable[str], settings: Any) -> Tokenizer:
        """As `extended`, with the pieces of a text, as for `train_from`."""
        return self.extended("".join(texts), settings)

    @classmethod
    def train_from_utf8(cls, blocks: Iterable[bytes], settings: Any) -> Self:
        """As `train_from`, for pieces in UTF-8; the default decodes them."""
        return cls.train_from(map(cls.from_utf8, blocks), settings)

    def extended_from_utf8(self, blocks: Iterable[bytes], settings: Any) -> Tokenizer:
        """As `extended_from`, for pieces in UTF-8; the default decodes them."""
        return self.extended_from(map(self.from_utf8, blocks), settings)

    @classmethod
    def from_utf8(cls, data: bytes) -> str:
        """Decode stored UTF-8, with lone surrogates for bytes, or as characters."""
        return data.decode("utf-8", "surrogateescape" if cls.reads_bytes else "surrogatepass")

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """The number of token ids."""

    @property
    @abstractmethod
    def unknown_id(self) -> int | None:
        """The id of the unknown token; `None` if nothing can be unknown."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Encode a text as token ids (N,), int32; what is not in the vocabulary is `unknown_id`."""

    def block_encoder(self) -> Callable[[bytes], Ids]:
        """Return a function that encodes pieces of a long text in UTF-8, for use by one thread.

        It returns the ids of `encode`, in any integer type. A tokenizer overrides it to encode long
        texts fast.
        """
        return lambda data: self.encode(self.from_utf8(data))

    def cut(self, text: str, near: int) -> Cut | None:
        """Return the last place at or before `near` to cut a text, to encode it in pieces.

        The tokens of the two pieces, joined, are those of the whole, also if more text follows.
        `None` if there is no such place: try further on, or encode the whole text. By default there
        is none.
        """
        return None

    @abstractmethod
    def spans(self, text: str) -> Spans:
        """Return the spans of the tokens of `encode`, in characters: begin and end (N, 2).

        They are in order; text outside all spans is white space that the tokens imply. Tokens that
        share a character have all of it in their spans.
        """

    @abstractmethod
    def unknowns(self, text: str, at_most: int = 10) -> list[str]:
        """Return the first different characters or words of a text that are unknown.

        They are in order of appearance and as a person would write them. A valid Unicode text
        without any is decoded to itself.
        """

    @abstractmethod
    def decoder(self) -> Decoder:
        """Return a new decoder, at the start of a text."""

    @abstractmethod
    def token(self, token_id: int) -> str:
        """Return a token's spelling, unique in the vocabulary; vocabularies are mapped by it."""

    @abstractmethod
    def starts_word(self, previous_id: int) -> bool:
        """Return whether the token after `previous_id` begins a word, for mode `spaces`."""

    def space_led(self) -> npt.NDArray[np.bool_] | None:
        """Return which tokens (V,) begin with a space; `None` if spaces are not part of words.

        A prime that ends with a space is read without it, and continued with one of these tokens.
        """
        return None

    def kept(self) -> dict[str, Any]:
        """Return the settings that a model which starts from this tokenizer must keep, by name."""
        state = self.state()
        return {name: state[name] for name in self.kept_settings}

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return all that is needed to build it again, as plain JSON values."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Build a tokenizer from its `state`."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids."""
        decoder = self.decoder()
        parts = [decoder.push(int(token_id)) for token_id in ids]
        return "".join(parts) + decoder.finish()


def texts_of(text: str, spans: Spans) -> list[str]:
    """Split a text by the spans (N, 2) of its tokens; joined, the parts are the text.

    Implied white space belongs to the token after it, as in a decoder's output; at the end of the
    text, to the last one. A character of several tokens belongs to the last of them.
    """
    begins = [0, *np.minimum(spans[:-1, 1], spans[1:, 0]).tolist(), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(begins)]


def last_line(text: str, near: int) -> int:
    """Return where the last line at or before `near` begins, after all line breaks; 0 if none."""
    place = min(near, len(text) - 1)
    while (place := text.rfind("\n", 0, place) + 1) and text[place] == "\n":
        place -= 1
    return place
