"""States after prefixes of texts, so that what many texts begin with is read once.

All that a recurrent model keeps of a prefix, however long, is one state. Shapes: N tokens,
V vocabulary.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from typing import NamedTuple

import numpy as np

from rondel.engine import EngineState
from rondel.engine.base import Floats, Ids

SHORTEST = 16
"""Tokens of the shortest prefix that is kept."""
ENTRY_BYTES = 500
"""What an entry takes beside its arrays, about."""


class Prefix(NamedTuple):
    """A model after the first `length` tokens of a text."""

    length: int
    state: EngineState
    logits_V: Floats | None
    """Of the next token, if they are known."""

    @property
    def size(self) -> int:
        """Bytes of memory."""
        arrays = self.state if self.logits_V is None else (*self.state, self.logits_V)
        return ENTRY_BYTES + sum(array.nbytes for array in arrays)


class PrefixCache:
    """Up to `most_bytes` of prefixes of one model, those used last. Safe for several threads.

    ::

        cache = PrefixCache(64_000_000)
        prime = Prime(engine, tokenizer, text, cache=cache)  # only what is new is left to read
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._prefixes: OrderedDict[bytes, Prefix] = OrderedDict()
        """By the digests of their tokens; the last used is last."""
        self._lengths: Counter[int] = Counter()
        self._lock = threading.Lock()
        self.bytes = self.hits = self.tokens_saved = 0

    def keep(self, ids: Ids, state: EngineState, logits_V: Floats | None = None) -> None:
        """Keep the state after tokens (N,), and the logits (V,) of the next if they are known."""
        prefix = Prefix(len(ids), state, logits_V)
        if prefix.length < SHORTEST or prefix.size > self._most_bytes:
            return
        key = _hasher(ids).digest()
        with self._lock:
            known = self._prefixes.pop(key, None)
            if known is not None:
                self._forget(known)
                prefix = prefix if prefix.logits_V is not None else known
            self._prefixes[key] = prefix
            self._lengths[prefix.length] += 1
            self.bytes += prefix.size
            while self.bytes > self._most_bytes:
                self._forget(self._prefixes.popitem(last=False)[1])

    def longest(self, ids: Ids, *, whole: bool = False) -> Prefix | None:
        """The longest prefix of tokens (N,) after which the logits can be had; `None` if none is.

        All tokens are one if their logits are known. With `whole` it is that or nothing.
        """
        with self._lock:
            lengths = sorted(n for n in self._lengths if n <= len(ids))
        if whole:
            lengths = [n for n in lengths if n == len(ids)]
        keys, hasher, end = [], _hasher(ids[:0]), 0
        for length in lengths:
            hasher.update(_raw(ids[end:length]))
            keys.append(hasher.copy().digest())
            end = length
        with self._lock:
            for key in reversed(keys):
                found = self._prefixes.get(key)
                if found is not None and (found.length < len(ids) or found.logits_V is not None):
                    self._prefixes.move_to_end(key)
                    self.hits += 1
                    self.tokens_saved += found.length
                    return found
        return None

    def _forget(self, prefix: Prefix) -> None:
        self.bytes -= prefix.size
        self._lengths[prefix.length] -= 1
        if not self._lengths[prefix.length]:
            del self._lengths[prefix.length]


def _hasher(ids: Ids) -> hashlib._Hash:
    return hashlib.sha256(_raw(ids))


def _raw(ids: Ids) -> bytes:
    return ids.astype(np.int32).tobytes()
