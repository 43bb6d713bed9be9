"""What a tokenizer does, and how text that arrives token by token is put together."""

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
"""A flag has one help text, whichever levels have it."""


class Decoder(ABC):
    """Turns tokens into text as they come; it holds back what is not complete yet.

    `copy.copy` of one goes on from where it stands, and neither shows in the other.
    """

    @abstractmethod
    def push(self, token_id: int) -> str:
        """The text that this token adds, which may be empty."""

    @abstractmethod
    def finish(self) -> str:
        """What was still held back."""

    def peek(self, token_id: int) -> str:
        """The text that `push` would give for this token, which is not pushed."""
        return copy.copy(self).push(token_id)


class Cut(NamedTuple):
    """Where a text may be cut in two, in characters: `text[:end]` and `text[begin:]`.

    What stands between the two is white space that the tokens imply, if it is anything.
    """

    end: int
    begin: int


@dataclass(frozen=True)
class NoSettings:
    """The settings of a tokenizer that has none."""


class Tokenizer(ABC):
    """Maps text to token ids 0 … vocab_size - 1 and back.

    Text is always `str`. At byte level, bytes that are no UTF-8 stand in it as the lone surrogates
    of Python's `surrogateescape`, so every file can be read and written back.
    """

    level: ClassVar[str]
    """The name it is registered under."""

    settings: ClassVar[type] = NoSettings
    """The dataclass of its settings, which `train` takes."""

    kept_settings: ClassVar[tuple[str, ...]] = ()
    """Those of its settings that its state holds for good, under the same names."""

    token_noun: ClassVar[str]
    """What one token is called, in the singular: "character", "byte", "word"."""

    # What others ask instead of its name.
    reads_bytes: ClassVar[bool] = False
    """Its text is bytes: files are read as they are, whatever their encoding."""

    splits_characters: ClassVar[bool] = False
    """A token may be part of a character: its text shows with the token that ends the character."""

    whole_words: ClassVar[bool] = False
    """Its tokens are words: a text is not cut within one, and sentences are counted in words."""

    implies_space: ClassVar[bool] = False
    """White space between two tokens is implied, and belongs to neither."""

    commonest_first: ClassVar[bool] = False
    """Ids rise as tokens get rarer in the text that it was trained on, but for `<unk>`."""

    open_vocabulary: ClassVar[bool] = False
    """No text shows all of the language's tokens: the vocabulary is that of the training part, what
    it lacks is ordinary, and a model that has seen few of each token is trained accordingly."""

    known_by: ClassVar[str] = ""
    """Of a tokenizer whose state is a file format of others': a key that only this format has. The
    state then stands in a model's `tokenizer.json` as it is, without the level."""

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
        """Build the vocabulary from a text; `settings` is a record of the class's `settings`.

        Raises `InputError` if the text has none to give.
        """

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: Any) -> Self:
        """The same from the pieces of a text, in order, none of which is needed again.

        Where they were cut by `cut` of any tokenizer with these settings, the vocabulary is that
        of the whole text. By default they are joined, which takes the memory of all of them.
        """
        return cls.train("".join(texts), settings)

    @abstractmethod
    def extended(self, text: str, settings: Any) -> Tokenizer:
        """This vocabulary and what `train` would add to it from a text.

        Every token keeps its spelling, though not its id. How text is split stays as it is here,
        whatever `settings` says.
        """

    def extended_from(self, texts: Iterable[str], settings: Any) -> Tokenizer:
        """The same with the pieces of a text, as for `train_from`."""
        return self.extended("".join(texts), settings)

    @classmethod
    def train_from_utf8(cls, blocks: Iterable[bytes], settings: Any) -> Self:
        """As `train_from`, of pieces in UTF-8; by default, of what they are decoded to."""
        return cls.train_from(map(cls.from_utf8, blocks), settings)

    def extended_from_utf8(self, blocks: Iterable[bytes], settings: Any) -> Tokenizer:
        """As `extended_from`, of pieces in UTF-8."""
        return self.extended_from(map(self.from_utf8, blocks), settings)

    @classmethod
    def from_utf8(cls, data: bytes) -> str:
        """A text that is stored as UTF-8: lone surrogates as bytes, or as themselves."""
        return data.decode("utf-8", "surrogateescape" if cls.reads_bytes else "surrogatepass")

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many token ids there are."""

    @property
    @abstractmethod
    def unknown_id(self) -> int | None:
        """The id that stands for what the vocabulary lacks; `None` if nothing can be lacking."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Token ids of a text, shape (N,), int32. What is not in the vocabulary is `unknown_id`."""

    def block_encoder(self) -> Callable[[bytes], Ids]:
        """A function that encodes pieces of a long text in UTF-8, for one thread to use.

        It gives the ids of `encode`, of any type of integer. A tokenizer that can be fast where it
        has much to encode is so here.
        """
        return lambda data: self.encode(self.from_utf8(data))

    def cut(self, text: str, near: int) -> Cut | None:
        """The last place at or before `near` where a text may be cut, to be encoded in pieces.

        The tokens of the two pieces, one after the other, are those of the whole, and whatever
        follows the text does not change that. `None` if there is no such place: look further on,
        or encode the text whole. By default there is none.
        """
        return None

    @abstractmethod
    def spans(self, text: str) -> Spans:
        """Where the tokens of `encode` stand in the text, in characters: begin and end (N, 2).

        They are in order, and what lies in no span is white space that the tokens imply. Tokens
        that share a character have it all.
        """

    @abstractmethod
    def unknowns(self, text: str, at_most: int = 10) -> list[str]:
        """The first different characters or words of a text that the vocabulary lacks.

        They stand in order of appearance and as a person would write them. A text that is valid
        Unicode and has none decodes to itself.
        """

    @abstractmethod
    def decoder(self) -> Decoder:
        """A new decoder, at the start of a text."""

    @abstractmethod
    def token(self, token_id: int) -> str:
        """A token's own spelling, unique in the vocabulary: what models are mapped by."""

    @abstractmethod
    def starts_word(self, previous_id: int) -> bool:
        """Whether the token after `previous_id` begins a word (sampling mode `spaces` draws it)."""

    def space_led(self) -> npt.NDArray[np.bool_] | None:
        """Which tokens (V,) begin with a space, where one before a word is part of its token.

        A prime that ends with such a space is read without it, and goes on with one of these.
        `None` if spaces are not part of words.
        """
        return None

    def kept(self) -> dict[str, Any]:
        """Values of its settings that a model which starts from this one keeps, by name."""
        state = self.state()
        return {name: state[name] for name in self.kept_settings}

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything needed to build it again, as plain JSON values."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `state`."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a sequence of token ids."""
        decoder = self.decoder()
        parts = [decoder.push(int(token_id)) for token_id in ids]
        return "".join(parts) + decoder.finish()


def texts_of(text: str, spans: Spans) -> list[str]:
    """What each token of a text stands for, by their spans (N, 2); joined, they are the text.

    White space that tokens imply goes with the one after it, as a decoder writes it; at the end of
    the text, with the last. A character of several tokens goes with the last of them.
    """
    begins = [0, *np.minimum(spans[:-1, 1], spans[1:, 0]).tolist(), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(begins)]


def last_line(text: str, near: int) -> int:
    """Where the last line begins at or before `near`, after all of its line breaks; 0 if none."""
    place = min(near, len(text) - 1)
    while (place := text.rfind("\n", 0, place) + 1) and text[place] == "\n":
        place -= 1
    return place
