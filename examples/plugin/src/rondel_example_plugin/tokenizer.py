"""A tokenizer: byte-pair encoding (Sennrich et al. 2016) of bytes, within words."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rondel.settings import setting
from rondel.text.tokenizers import Cut, Decoder, tokenizers
from rondel.text.tokenizers.base import Ids, NoSettings, Spans
from rondel.text.tokenizers.byte import ByteTokenizer

if TYPE_CHECKING:
    from typing_extensions import Self

Merge = tuple[int, int]
Places = npt.NDArray[np.intp]
WHITE_SPACE = list(b" \t\n\r\v\f")


@dataclass(frozen=True)
class MergeSettings:
    """How far bytes are put together."""

    example_merges: int = setting(200, "how many pairs of tokens become one token", at_least=0)


@tokenizers.register("example-bpe")
class MergedByteTokenizer(ByteTokenizer):
    """The 256 bytes, and a token for each merge of two tokens; white space is never merged."""

    level = "example-bpe"
    settings = MergeSettings
    token_noun = "piece"

    def __init__(self, merges: Iterable[Merge] = ()) -> None:
        self._merges = list(merges)
        self._bytes = [bytes([value]) for value in range(256)]
        for left, right in self._merges:
            if not 0 <= min(left, right) <= max(left, right) < len(self._bytes):
                raise ValueError(f"a merge of {left} and {right} comes before these tokens")
            self._bytes.append(self._bytes[left] + self._bytes[right])
        if len(set(self._bytes)) < len(self._bytes):
            raise ValueError("two tokens stand for the same bytes")

    @classmethod
    def train_from(cls, texts: Iterable[str], settings: Any) -> Self:
        """Merge the commonest pair, as often as `MergeSettings` says.

        Raises `InputError` as `ByteTokenizer.train` does.
        """
        ids = super().train_from([text := "".join(texts)], NoSettings()).encode(text)
        tokenizer = cls()
        while len(tokenizer._merges) < settings.example_merges:
            merge = tokenizer._commonest(ids)
            if merge is None:
                break
            ids, _ = _merged(ids, merge, tokenizer.vocab_size)
            tokenizer = cls([*tokenizer._merges, merge])
        return tokenizer

    def _commonest(self, ids: Ids) -> Merge | None:
        """The pair that comes most often, at least twice, and spells what no token does yet."""
        space = np.isin(ids, WHITE_SPACE)
        codes = ids[:-1].astype(np.int64) * self.vocab_size + ids[1:]
        codes = codes[~space[:-1] & ~space[1:]]
        pairs, counts = np.unique(codes, return_counts=True)
        for place in np.argsort(-counts, kind="stable"):
            left, right = divmod(int(pairs[place]), self.vocab_size)
            if counts[place] > 1 and self._bytes[left] + self._bytes[right] not in self._bytes:
                return left, right
        return None

    @property
    def vocab_size(self) -> int:
        """256, and one for each merge."""
        return len(self._bytes)

    def encode(self, text: str) -> Ids:
        """Token ids of a text, shape (N,), int32."""
        return self._encode(text)[0]

    def cut(self, text: str, near: int) -> Cut | None:
        """After a line break, which no token goes past."""
        place = text.rfind("\n", 0, near) + 1
        return Cut(place, place) if place else None

    def spans(self, text: str) -> Spans:
        """From the first to the last character that a token has a byte of."""
        _, first = self._encode(text)
        of_bytes = super().spans(text)
        last = np.append(first, len(of_bytes))[1:] - 1
        return np.stack([of_bytes[first, 0], of_bytes[last, 1]], axis=1)

    def _encode(self, text: str) -> tuple[Ids, Places]:
        """Token ids, and the byte that each begins at."""
        ids = super().encode(text)
        first = np.arange(len(ids))
        for token_id, merge in enumerate(self._merges, 256):
            ids, kept = _merged(ids, merge, token_id)
            first = first[kept]
        return ids, first

    def decoder(self) -> Decoder:
        """A decoder that waits for the last byte of a character."""
        return PieceDecoder(self._bytes, super().decoder())

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the tokens' bytes."""
        return b"".join(self._bytes[int(i)] for i in ids).decode("utf-8", "surrogateescape")

    def token(self, token_id: int) -> str:
        """Its bytes in hexadecimal, as in `0x41 0x42`."""
        return " ".join(map(super().token, self._bytes[token_id]))

    def starts_word(self, previous_id: int) -> bool:
        """Whether the previous token ends with ASCII white space."""
        return super().starts_word(self._bytes[previous_id][-1])

    def state(self) -> dict[str, Any]:
        """The merges."""
        return {"merges": [list(merge) for merge in self._merges]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `state`; `ValueError`, `TypeError` or `KeyError` if it is not one."""
        return cls((left, right) for left, right in state["merges"])


class PieceDecoder(Decoder):
    """Gives a token's bytes to a decoder of bytes."""

    def __init__(self, bytes_of: list[bytes], decoder: Decoder) -> None:
        self._bytes, self._decoder = bytes_of, decoder

    def push(self, token_id: int) -> str:
        """The characters that this token completes."""
        return "".join(map(self._decoder.push, self._bytes[token_id]))

    def finish(self) -> str:
        """The bytes of a character that was begun and not ended."""
        return self._decoder.finish()

    def __copy__(self) -> PieceDecoder:
        return PieceDecoder(self._bytes, copy.copy(self._decoder))


def _merged(ids: Ids, merge: Merge, token_id: int) -> tuple[Ids, Places]:
    """With `token_id` wherever the pair stood, and which places of `ids` that keeps."""
    left, right = merge
    at = np.flatnonzero((ids[:-1] == left) & (ids[1:] == right))
    if left == right and len(at):
        # In "aaa" two pairs share a token: of a run of places, every other one counts.
        run = np.cumsum(np.diff(at, prepend=at[0] - 2) > 1)
        begin = at[np.flatnonzero(np.diff(run, prepend=0))]
        at = at[(at - begin[run - 1]) % 2 == 0]
    merged = ids.copy()
    merged[at] = token_id
    kept = np.delete(np.arange(len(ids)), at + 1)
    return merged[kept], kept
