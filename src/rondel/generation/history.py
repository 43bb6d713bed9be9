"""The tokens so far, which sampling rules may look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer[Any]]


class History:
    """Token ids (N,), prime first, that grow in amortised constant time."""

    def __init__(self, ids: Ids) -> None:
        self._buffer: Ids = ids.copy()
        self._size = len(ids)

    def append(self, tokens: Sequence[int]) -> None:
        """Add tokens for good."""
        self._size = len(self.followed_by(tokens))

    def followed_by(self, tokens: Sequence[int] = ()) -> Ids:
        """All tokens and then these; a view, good until the next call."""
        size = self._size + len(tokens)
        if size > len(self._buffer):
            self._buffer = np.resize(self._buffer, 2 * size)
        self._buffer[self._size : size] = tokens
        return self._buffer[:size]
