"""The subword tokenizer: words and parts of words, down to bytes, so that nothing is unknown.

The vocabulary is learnt from the text (`rondel.text.subwords.learning`), or read from another
tool's file (`rondel.text.subwords.tokenizer_files`). The tokenizer's state is the JSON of Hugging
Face's `tokenizers`: `tokenizers.Tokenizer.from_file` can read a model's `tokenizer.json`, and gives
the same ids.
"""

from __future__ import annotations

import codecs
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rondel.errors import require
from rondel.settings.fields import setting
from rondel.text.chunk_table import ChunkEncoder
from rondel.text.subwords.learning import (
    ALGORITHMS,
    EXTRA,
    check_size,
    count_chunks,
    count_chunks_of_utf8,
    learn,
)
from rondel.text.subwords.spelling import Spelling
from rondel.text.subwords.splitting import CHUNK, PRE_TOKENIZER, last_border
from rondel.text.tokenizers import tokenizers
from rondel.text.tokenizers.base import VOCAB_SIZE_HELP, Cut, Decoder, Ids, Spans, Tokenizer
from rondel.text.utf8 import LONE, NO_BYTE, bytes_of

if TYPE_CHECKING:
    from typing_extensions import Self

CACHED_CHUNKS = 300_000
"""The most chunks whose tokens are cached."""
BATCH = 50_000
WHOLE = 1_000_000
"""Characters that another tool's tokenizer encodes at a time, if texts can be cut for it."""
CONTEXT, TRIED = 200, 20
"""To cut a text for another tool's tokenizer: characters to compare on either side of a place, and
the number of places to try."""


@dataclass(frozen=True)
class SubwordSettings:
    """The settings of a `SubwordTokenizer`."""

    subword: str = setting(
        "bpe",
        "how subwords are learnt: byte-pair encoding, the unigram model, or WordPiece",
        choices=ALGORITHMS,
    )
    vocab_size: int = setting(8000, VOCAB_SIZE_HELP, at_least=1, chosen=True)


@tokenizers.register("subword")
class SubwordTokenizer(Tokenizer):
    """A token is a word with the space before it, a part of one, or a byte.

    ::

        tokenizer = SubwordTokenizer.train(text, SubwordSettings("bpe", 8000))
        tokenizer.decode(tokenizer.encode("Any text.")) == "Any text."

    Every valid Unicode text is decoded exactly, and so is invalid UTF-8, as lone surrogates of
    `surrogateescape`; unless the tokenizer is another tool's that loses something.
    """

    level = "subword"
    settings = SubwordSettings
    token_noun = "subword"
    open_vocabulary = splits_characters = True
    known_by = "model"

    def __init__(self, state: dict[str, Any]) -> None:
        hf = require("tokenizers", EXTRA)
        self._state = state
        try:
            self._hf = hf.Tokenizer.from_str(json.dumps(state))
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # Rust may panic on damaged data
            raise ValueError(str(error)) from None
        self._spelling = Spelling(self._hf, state)
        self._is_own = state["pre_tokenizer"] == PRE_TOKENIZER and not (
            state["normalizer"] or state["added_tokens"]
        )
        self._known: dict[str, bytes] = {}

    @classmethod
    def train(cls, text: str, settings: SubwordSettings) -> Self:
        """Learn a vocabulary; `InputError` if the text is empty, or `vocab_size` too small.

        From a short text it may have fewer tokens than `settings.vocab_size`.
        """
        return cls.train_from([text], settings)

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: SubwordSettings) -> Self:
        """As `train`, from pieces of a text; only counts are kept in memory."""
        check_size(settings.vocab_size)
        return cls(learn(settings.subword, count_chunks(texts), settings.vocab_size))

    @classmethod
    def train_from_utf8(cls, blocks: Iterable[bytes], settings: SubwordSettings) -> Self:
        """The same from pieces in UTF-8, compiled and in several threads where they are long."""
        check_size(settings.vocab_size)
        return cls(learn(settings.subword, count_chunks_of_utf8(blocks), settings.vocab_size))

    def extended(self, text: str, settings: Any) -> SubwordTokenizer:
        """Return this tokenizer: nothing is unknown to it."""
        return self

    def extended_from(self, texts: Iterable[str], settings: Any) -> SubwordTokenizer:
        """Return this tokenizer."""
        return self

    @property
    def is_own(self) -> bool:
        """Whether it was learnt by rondel: others' may split a text in any way."""
        return self._is_own

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return len(self._spelling.tokens)

    @property
    def unknown_id(self) -> int | None:
        """None, unless the tokenizer is another tool's without byte fallback."""
        return self._spelling.unknown_id

    def encode(self, text: str) -> Ids:
        """Encode a text as token ids (N,), int32."""
        if not self.is_own:
            return self._encoded_by_others(text)
        found: list[bytes] = []
        chunks = (match.group() for match in CHUNK.finditer(text))
        while batch := list(itertools.islice(chunks, BATCH)):
            known = self._with_known(batch)
            found.append(b"".join(map(known.__getitem__, batch)))
        return np.frombuffer(b"".join(found), np.int32)

    def block_encoder(self) -> Callable[[bytes], Ids]:
        """By the compiled table of chunks, unless the tokenizer is of others' making."""
        if not self.is_own:
            return super().block_encoder()
        return ChunkEncoder(self._ids_of_chunks, self.encode, "SUBWORDS")

    def _ids_of_chunks(self, chunks: Iterator[str]) -> Iterator[Sequence[int]]:
        while batch := list(itertools.islice(chunks, BATCH)):
            valid = iter(self._batch([chunk for chunk in batch if not LONE.search(chunk)]))
            for chunk in batch:
                lone = LONE.search(chunk)
                yield self._with_surrogates(chunk).tolist() if lone else next(valid).ids

    def _with_known(self, chunks: list[str]) -> dict[str, bytes]:
        """Return the cache with the ids of these chunks added, as the bytes of int32."""
        known = self._known
        new = [chunk for chunk in dict.fromkeys(chunks) if chunk not in known]
        if len(known) + len(new) > CACHED_CHUNKS:
            known = self._known = {}
            new = list(dict.fromkeys(chunks))
        valid = [chunk for chunk in new if not LONE.search(chunk)]
        for chunk, encoding in zip(valid, self._batch(valid), strict=True):
            known[chunk] = np.array(encoding.ids, np.int32).tobytes()
        for chunk in set(new).difference(valid):
            known[chunk] = self._with_surrogates(chunk).tobytes()
        return known

    def _with_surrogates(self, chunk: str) -> Ids:
        """Return the ids of a chunk with lone surrogates, each of which represents a byte."""
        parts = []
        for lone, group in itertools.groupby(chunk, lambda c: LONE.match(c) is not None):
            part = "".join(group)
            if lone:
                parts.append(self._spelling.ids_of_bytes(bytes_of(part)))
            else:
                parts.append(np.array(self._batch([part])[0].ids, np.int32))
        return np.concatenate(parts)

    def _batch(self, texts: list[str]) -> list[Any]:
        encodings: list[Any] = self._hf.encode_batch_fast(texts, add_special_tokens=False)
        return encodings

    def _encoded_by_others(self, text: str) -> Ids:
        pieces = [self._batch([piece])[0].ids for piece in self._pieces(_valid(text))]
        return np.array(list(itertools.chain.from_iterable(pieces)), np.int32)

    def _pieces(self, text: str) -> Iterator[str]:
        begin = 0
        while len(text) - begin > 2 * WHOLE:
            place = self._tried_border(text, begin + WHOLE)
            if place <= begin:
                break
            yield text[begin:place]
            begin = place
        yield text[begin:]

    def cut(self, text: str, near: int) -> Cut | None:
        """Cut before a space or after a line break.

        For another tool's tokenizer such places are tried; for one that reads a text as a single
        word, as SentencePiece's may, a text cannot be cut.
        """
        place = last_border(text, near) if self.is_own else self._tried_border(text, near)
        return Cut(place, place) if place else None

    def _tried_border(self, text: str, near: int) -> int:
        place = min(near, len(text) - CONTEXT)
        for _ in range(TRIED):
            place = last_border(text, place)
            if not place:
                break
            before, after = text[max(0, place - CONTEXT) : place], text[place : place + CONTEXT]
            joint, first, second = self._batch([_valid(t) for t in (before + after, before, after)])
            if joint.ids == first.ids + second.ids:
                return place
            place -= 1
        return 0

    def spans(self, text: str) -> Spans:
        """Return the spans from the first to the last character of which a token has a byte."""
        ids = self.encode(text)
        if (found := self._spelling.spans(ids, text)) is not None:
            return found
        # It loses something: take the offsets of `tokenizers`.
        encoding = self._hf.encode(_valid(text), add_special_tokens=False)
        spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        spans = np.maximum.accumulate(spans, axis=0)
        spans[:, 1] = np.maximum(spans[:, 1], np.minimum(spans[:, 0] + 1, len(text)))
        spans[:, 0] = np.minimum(spans[:, 0], spans[:, 1] - 1)
        return spans

    def unknowns(self, text: str, at_most: int = 10) -> list[str]:
        """Return the first different characters without bytes, or unknown to another tool's."""
        found = dict.fromkeys((NO_BYTE if self.is_own else LONE).findall(text))
        if self.unknown_id is not None:
            spans = self.spans(text)[self.encode(text) == self.unknown_id]
            found |= dict.fromkeys(text[begin:end].strip() for begin, end in spans.tolist())
        return [name for name in found if name][:at_most]

    def decoder(self) -> SubwordDecoder:
        """Return a decoder that waits for the last byte of a character."""
        return SubwordDecoder(self._spelling.first, self._spelling.later)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the tokens' bytes."""
        return self._spelling.joined(map(int, ids)).decode("utf-8", "surrogateescape")

    def token(self, token_id: int) -> str:
        """Return its text, or for parts of characters the bytes in hexadecimal: `0xE2 0x80`."""
        return self._spelling.names[token_id]

    def starts_word(self, previous_id: int) -> bool:
        """Return True except within a character: any token may end a word, as words lead with
        their spaces.
        """
        return self._spelling.is_whole(previous_id)

    def space_led(self) -> npt.NDArray[np.bool_] | None:
        """Return which tokens (V,) begin with a space."""
        return self._spelling.space_led_V

    def kept(self) -> dict[str, Any]:
        """Return the algorithm and the size of the vocabulary."""
        algorithm = self._state["model"]["type"].lower()
        return {"subword": algorithm, "vocab_size": self.vocab_size}

    def state(self) -> dict[str, Any]:
        """Return the JSON values of `tokenizers`."""
        return self._state

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Build it from its `state`; `ValueError`, `TypeError` or `KeyError` if that is invalid."""
        return cls(dict(state))


class SubwordDecoder(Decoder):
    """Decodes the bytes of tokens."""

    def __init__(self, first: list[bytes], later: list[bytes]) -> None:
        self._first, self._later = first, later
        self._now = first
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def push(self, token_id: int) -> str:
        """Return the characters that this token completes."""
        piece, self._now = self._now[token_id], self._later
        return self._utf8.decode(piece)

    def peek(self, token_id: int) -> str:
        """See `Decoder.peek`."""
        before, now = self._utf8.getstate(), self._now
        text = self.push(token_id)
        self._utf8.setstate(before)
        self._now = now
        return text

    def finish(self) -> str:
        """Return the bytes of an incomplete character."""
        return self._utf8.decode(b"", final=True)

    def __copy__(self) -> SubwordDecoder:
        copied = SubwordDecoder(self._first, self._later)
        copied._now = self._now
        copied._utf8.setstate(self._utf8.getstate())
        return copied


def _valid(text: str) -> str:
    """Replace lone surrogates, which `tokenizers` does not accept, by U+FFFD."""
    return bytes_of(text).decode("utf-8", "replace") if LONE.search(text) else text
