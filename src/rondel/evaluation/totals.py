"""Sums and counts over texts that come in blocks."""

from __future__ import annotations

import numpy as np

from rondel.evaluation.measures import Measured

TOGETHER = 1 << 20
"""Values that are summed together; the sum of fewer is NumPy's of all of them."""


class Total:
    """A sum that does not depend on how its values are divided into blocks."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0
        self._values = np.empty(TOGETHER)

    def add(self, values_N: Measured) -> None:
        """Add values (N,)."""
        while len(values_N):
            room = TOGETHER - self._count
            some, values_N = values_N[:room], values_N[room:]
            self._values[self._count : self._count + len(some)] = some
            self._count += len(some)
            if self._count == TOGETHER:
                self._sum, self._count = self.sum, 0

    @property
    def sum(self) -> float:
        """The sum so far."""
        return self._sum + float(self._values[: self._count].sum())


class WordCount:
    """Counts the words, separated by white space, of a text that comes in blocks."""

    def __init__(self) -> None:
        self.words = 0
        self._in_word = False

    def add(self, text: str) -> None:
        """Add the next block."""
        if text:
            goes_on = self._in_word and not text[0].isspace()
            self.words += len(text.split()) - goes_on
            self._in_word = not text[-1].isspace()

    def end(self) -> None:
        """A document ends here, and with it the last word."""
        self._in_word = False
