"""The word tokenizer: the most frequent words of a text, and all that is needed to rebuild it.

A single space between two tokens is implied. Other white space is a separate token: a run of the
same character, such as one newline, the two of a blank line, an indentation, or a space at either
end of the text; next to it no space is implied.

Split on spaces, tokens are the text between white space. Split on punctuation, words (letters,
digits, underscores, combining marks, inner apostrophes) and punctuation (a run of the same
character) are separate tokens, and where two touch, a punctuation token has the joiner ￭ on that
side, as in the OpenNMT Tokenizer (https://github.com/OpenNMT/Tokenizer)::

    "Hello," he said: well-known.   ->   "￭ Hello ￭, ￭" he said ￭: well ￭-￭ known ￭.

In a text that is already tokenised (`--word-split tokens`), tokens are the text between white
space, and every line break. Other white space only separates them and is not kept: a file with
spaces at both ends of its lines, as in the Penn Treebank, has as many tokens as words and lines.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rondel.errors import InputError
from rondel.settings.fields import setting
from rondel.text.chunk_table import ChunkEncoder
from rondel.text.parallel import in_order
from rondel.text.tokenizers import tokenizers
from rondel.text.tokenizers.base import (
    VOCAB_SIZE_HELP,
    Cut,
    Decoder,
    Ids,
    Spans,
    Tokenizer,
    last_line,
)
from rondel.text.tokenizers.punctuation import UNKNOWN, Piece, piece_of, split_punctuation
from rondel.text.tokenizers.word_blocks import ChunkCounter, WordCounts

if TYPE_CHECKING:
    from typing_extensions import Self

SURROGATES = "surrogatepass"

# All but implied spaces: the text between white space, or a run of one white-space character.
CHUNK = re.compile(r"\S+|(?!(?<=\S) (?=\S))(\s)\1*")
# The same for a text that is already tokenised.
CHUNK_OF_TOKENS = re.compile(r"\S+|\n")

CACHED_CHUNKS = 500_000
"""Different chunks whose tokens are remembered while a text is encoded."""


@dataclass(frozen=True)
class WordSettings:
    """The settings of a `WordTokenizer`."""

    word_split: str = setting(
        "punctuation",
        "split on words and punctuation, or on spaces as written, or read a text that is tokenised "
        "already: white space separates, and is kept only as one token for a line's end",
        choices=("punctuation", "spaces", "tokens"),
    )
    vocab_size: int = setting(10_000, VOCAB_SIZE_HELP, at_least=1)
    # From words that occur once, the model learns how to treat unknown words.
    min_count: int = setting(
        2,
        "words that come less often are <unk>, so that the model learns what to make of a word it "
        "does not know",
        at_least=1,
    )
    lowercase: bool = setting(False, "lower-case the text")


@tokenizers.register("word")
class WordTokenizer(Tokenizer):
    """A token is a word, a punctuation mark, or white space other than a single space.

    `<unk>`, id 0, is every other word, and also a `<unk>` in the text. A text without unknown words
    is decoded exactly (with `lowercase`, as its lower case; with `word_split` "tokens", with single
    spaces between words and none at the ends of lines).
    """

    level = "word"
    settings = WordSettings
    kept_settings = ("word_split", "lowercase")
    token_noun = "word"
    whole_words = implies_space = open_vocabulary = commonest_first = True

    def __init__(self, word_split: str, lowercase: bool, tokens: list[str]) -> None:
        if word_split not in ("punctuation", "spaces", "tokens"):
            raise ValueError(f"words cannot be split on {word_split!r}")
        if not tokens or tokens[0] != UNKNOWN or "" in tokens:
            raise ValueError("the vocabulary does not begin with <unk>, or has an empty word")
        self._word_split, self._lowercase, self._tokens = word_split, lowercase, tokens
        self._id_of = {token: token_id for token_id, token in enumerate(tokens)}
        if len(self._id_of) < len(tokens):
            raise ValueError("the vocabulary has a word twice")
        is_tokenised = word_split == "tokens"
        self._chunk = CHUNK_OF_TOKENS if is_tokenised else CHUNK
        self._rule = "TOKENISED" if is_tokenised else "WORDS"
        marked = word_split == "punctuation"
        self._pieces = [piece_of(token, marked) for token in tokens]

    @classmethod
    def train(cls, text: str, settings: WordSettings) -> Self:
        """Keep the `settings.vocab_size` most frequent words; equally frequent ones by spelling.

        Words that occur less often than `settings.min_count` are not kept. Raises `InputError` if
        the text has no words, or none so frequent.
        """
        return cls.train_from([text], settings)

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: WordSettings) -> Self:
        """As `train`, from pieces of a text."""
        return cls.train_from_utf8((text.encode("utf-8", SURROGATES) for text in texts), settings)

    @classmethod
    def train_from_utf8(cls, blocks: Iterable[bytes], settings: WordSettings) -> Self:
        """As `train_from`, from pieces in UTF-8; long ones by compiled kernels, in threads."""
        counts = cls(settings.word_split, settings.lowercase, [UNKNOWN])._counts(blocks)
        if counts.is_empty:
            raise InputError("this text is empty: give it something to learn from")
        kept = counts.commonest(settings.vocab_size, settings.min_count, without=UNKNOWN)
        if not all(token.isspace() for token in kept):
            return cls(settings.word_split, settings.lowercase, [UNKNOWN, *kept])
        if settings.min_count == 1 or not counts.has_words:
            raise InputError("this text has no words: give it something to learn from")
        raise InputError(
            f"no word of this text comes {settings.min_count} times: lower --min-count, or give it "
            "more text"
        )

    def extended(self, text: str, settings: WordSettings) -> WordTokenizer:
        """Return a tokenizer with the words that `train` would keep added at the end."""
        return self.extended_from([text], settings)

    def extended_from(self, texts: Iterable[str], settings: WordSettings) -> WordTokenizer:
        """As `extended`, with pieces of a text."""
        blocks = (text.encode("utf-8", SURROGATES) for text in texts)
        return self.extended_from_utf8(blocks, settings)

    def extended_from_utf8(self, blocks: Iterable[bytes], settings: Any) -> WordTokenizer:
        """As `extended_from`, with pieces in UTF-8."""
        counts = self._counts(blocks)
        kept = counts.commonest(settings.vocab_size, settings.min_count, without=UNKNOWN)
        new = [token for token in kept if token not in self._id_of]
        return WordTokenizer(self._word_split, self._lowercase, self._tokens + new)

    @property
    def vocab_size(self) -> int:
        """The number of token ids, including `<unk>`."""
        return len(self._tokens)

    @property
    def unknown_id(self) -> int:
        """0."""
        return 0

    def encode(self, text: str) -> Ids:
        """Encode a text as token ids (N,), int32."""
        ids = array("i")
        # How a chunk is split does not depend on its context, and most chunks occur often.
        known: dict[str, array[int]] = {}
        for chunk in self._chunks(text):
            found = known.get(chunk)
            if found is None:
                if len(known) == CACHED_CHUNKS:
                    known.clear()
                found = array("i", (self._id_of.get(token, 0) for token in self._split(chunk)))
                known[chunk] = found
            ids.extend(found)
        return np.array(ids, np.int32)

    def block_encoder(self) -> Callable[[bytes], Ids]:
        """Return an encoder that uses a compiled table of chunks."""
        known, split = self._id_of.get, self._split
        encode = ChunkEncoder(
            lambda chunks: ([known(token, 0) for token in split(chunk)] for chunk in chunks),
            self.encode,
            self._rule,
        )
        return lambda data: encode(self._lowered_utf8(data))

    def cut(self, text: str, near: int) -> Cut | None:
        """Cut after a line break, or at an implied space, which is then in neither piece."""
        line, space = last_line(text, near), text.rfind(" ", 1, near)
        while space > line:
            if self._chunk.match(text, space) is None and space + 1 < len(text):
                return Cut(space, space + 1)
            space = text.rfind(" ", 1, space)
        return Cut(line, line) if line else None

    def spans(self, text: str) -> Spans:
        """Return the spans of words, punctuation and white space; implied spaces are in none."""
        marked = self._word_split == "punctuation"
        spans = array("q")
        for match in self._chunk.finditer(self._lowered(text)):
            end = match.start()
            for token in self._split(match.group()):
                begin, end = end, end + len(piece_of(token, marked).text)
                spans.extend((begin, end))
        found = np.array(spans, np.int64).reshape(-1, 2)
        return _as_before_lowering(found, text) if self._lowercase else found

    def unknowns(self, text: str, at_most: int = 10) -> list[str]:
        """Return the first different unknown words of a text, without their joiners."""
        marked = self._word_split == "punctuation"
        tokens = itertools.chain.from_iterable(map(self._split, self._chunks(text)))
        lacking = (piece_of(token, marked).text for token in tokens if token not in self._id_of)
        return list(itertools.islice(_distinct(lacking), at_most))

    def decoder(self) -> WordDecoder:
        """Return a decoder, which writes each word at once, after an implied space."""
        return WordDecoder(self._pieces)

    def token(self, token_id: int) -> str:
        """Return the word with its joiners."""
        return self._tokens[token_id]

    def starts_word(self, previous_id: int) -> bool:
        """Return True: every token is a word."""
        return True

    def state(self) -> dict[str, Any]:
        """Return how text is split, and the vocabulary in order of id."""
        return {
            "word_split": self._word_split,
            "lowercase": self._lowercase,
            "tokens": self._tokens,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Build it from its `state`; `ValueError`, `TypeError` or `KeyError` if that is invalid."""
        tokens, lowercase = state["tokens"], state["lowercase"]
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise TypeError("the vocabulary is not a list of strings")
        if not isinstance(lowercase, bool):
            raise TypeError(f"lowercase is true or false, not {lowercase!r}")
        return cls(state["word_split"], lowercase, list(tokens))

    def _counts(self, blocks: Iterable[bytes]) -> WordCounts:
        """Count how often each token occurs in the pieces of a text."""
        counts, counters = WordCounts(self._split), []

        def counter() -> Callable[[bytes], int]:
            counters.append(ChunkCounter(counts, self._chunks, self._rule))
            return counters[-1]

        deque(in_order(counter, map(self._lowered_utf8, blocks)), maxlen=0)
        for each in counters:
            each.finish()
        return counts

    def _lowered_utf8(self, data: bytes) -> bytes:
        return self.from_utf8(data).lower().encode("utf-8", SURROGATES) if self._lowercase else data

    def _chunks(self, text: str) -> Iterator[str]:
        return (match.group() for match in self._chunk.finditer(self._lowered(text)))

    def _lowered(self, text: str) -> str:
        # As a whole: the lower case of a Greek sigma depends on the letters around it.
        return text.lower() if self._lowercase else text

    def _split(self, chunk: str) -> list[str]:
        if self._word_split != "punctuation" or chunk.isalnum() or chunk.isspace():
            return [chunk]
        return split_punctuation(chunk)


class WordDecoder(Decoder):
    """Writes words one by one; nothing is kept back."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self._glued = True

    def push(self, token_id: int) -> str:
        """Return the word, with a space before it unless it joins the one before."""
        text = self.peek(token_id)
        self._glued = self._pieces[token_id].glued_after
        return text

    def peek(self, token_id: int) -> str:
        """See `Decoder.peek`."""
        text, glued_before, _ = self._pieces[token_id]
        return text if self._glued or glued_before else " " + text

    def finish(self) -> str:
        """Return an empty text: nothing is kept back."""
        return ""


def _as_before_lowering(spans: Spans, text: str) -> Spans:
    """Convert spans of the lowered text to spans of the text: some letters become two."""
    place = np.repeat(np.arange(len(text)), [len(character.lower()) for character in text])
    begins, ends = spans.T
    return np.stack([place[begins], place[ends - 1] + 1], axis=1)


def _distinct(words: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for word in words:
        if word not in seen:
            seen.add(word)
            yield word
