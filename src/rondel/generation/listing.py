"""Lists of samples: without repetitions or known texts, with counts of what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rondel.engine import Engine
from rondel.generation.generate import in_order, write_on_demand
from rondel.generation.scheduler import CAPACITY
from rondel.generation.stream import Request
from rondel.text.tokenizers import Tokenizer

PATIENCE = 1_000
"""After so many texts left out in a row, a list ends early."""
AHEAD = 16 * CAPACITY
"""How many texts may be started before the first of them is finished."""


class KnownTexts:
    """Texts that no sample may be a part of.

    In a text of several lines, a sample is looked for as one or more whole lines; in a text of one
    line, anywhere. White space at either end of a line or a sample is ignored.

    >>> known = KnownTexts(["anna\\nbert\\ncarl\\n"])
    >>> "anna" in known, "ann" in known, "bert\\ncarl" in known
    (True, False, True)
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._lines: set[str] = set()
        self._of_lines: list[str] = []
        self._of_one_line: list[str] = []
        for text in texts:
            lines = _stripped(text)
            if len(lines) == 1:
                self._of_one_line += lines
            else:
                self._lines.update(lines)
                self._of_lines.append(_between_breaks(lines))

    def __contains__(self, sample: str) -> bool:
        lines = _stripped(sample)
        if len(lines) == 1:
            return lines[0] in self._lines or any(lines[0] in text for text in self._of_one_line)
        whole = _between_breaks(lines)
        return any(whole in text for text in self._of_lines)


def _stripped(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _between_breaks(lines: list[str]) -> str:
    return "\n".join(["", *lines, ""])


class Sieve:
    """A filter that decides for each text of a list, in order, whether it is kept.

    It leaves out blank texts; with `unique`, texts that were kept before; with `known`, texts that
    these contain. A text is compared together with what it continues: the last line of `after`.
    """

    def __init__(
        self,
        *,
        unique: bool = False,
        known: KnownTexts | None = None,
        after: str = "",
        patience: int = PATIENCE,
    ) -> None:
        self._unique, self._known, self._patience = unique, known, patience
        self._after = after.rpartition("\n")[2]
        self._seen: set[str] = set()
        self.in_a_row = 0
        """How many were left out since the last one kept."""
        self.left_out = {"blank": 0, "repeated": 0, "known": 0}
        """How many texts were left out, by reason."""

    @property
    def exhausted(self) -> bool:
        """Whether `patience` texts in a row were left out."""
        return self.in_a_row >= self._patience

    def keeps(self, text: str) -> bool:
        """Decide whether to keep a text, and record the decision."""
        reason = self._reason(text)
        if reason is None:
            self.in_a_row = 0
            return True
        self.left_out[reason] += 1
        self.in_a_row += 1
        return False

    def describe(self) -> str:
        """Say how many were left out and why; empty if none were."""
        reasons = {"blank": "blank", "repeated": "there already", "known": "in the given texts"}
        counts = [(self.left_out[name], word) for name, word in reasons.items()]
        total = sum(self.left_out.values())
        parts = ", ".join(f"{count:,} {word}" for count, word in counts if count)
        return f"left out {total:,} {'text' if total == 1 else 'texts'}: {parts}" if total else ""

    def _reason(self, text: str) -> str | None:
        whole = (self._after + text).strip()
        if not whole:
            return "blank"
        if self._known is not None and whole in self._known:
            return "known"
        if self._unique:
            if whole in self._seen:
                return "repeated"
            self._seen.add(whole)
        return None


class SampleList(Iterator[str]):
    """An iterator over up to `count` texts of a source, in order, that a sieve keeps.

    `source` is called with a function that returns how many texts are still wanted, and yields at
    least so many.

    ::

        names = model.samples(10, unique=True, not_in="training")
        for name in names:
            print(name)
        names.left_out, names.missing
    """

    def __init__(
        self, count: int, source: Callable[[Callable[[], int]], Iterator[str]], sieve: Sieve
    ) -> None:
        self.sieve = sieve
        self.missing = count
        """How many texts are still to come; above 0 at the end if the source had too few."""
        self.index = -1
        """The index in the source of the latest text."""
        self._texts = source(lambda: self.missing)

    @property
    def left_out(self) -> dict[str, int]:
        """How many texts were left out so far, by reason: `blank`, `repeated`, `known`."""
        return self.sieve.left_out

    def __next__(self) -> str:
        while self.missing and not self.sieve.exhausted:
            text = next(self._texts)
            self.index += 1
            if self.sieve.keeps(text):
                self.missing -= 1
                return text
        raise StopIteration


def written_in_order(
    engine: Engine,
    tokenizer: Tokenizer,
    request: Callable[[int], tuple[str, Request]],
    wanted: Callable[[], int],
) -> Iterator[str]:
    """Yield texts 0, 1, 2 … in order, writing many at a time, until no more are `wanted`.

    `request` returns, for an index, what the text begins with and the request for the rest.
    """
    begun: dict[int, str] = {}
    pieces: list[str] = []
    asked = given = 0

    def ask() -> Request | None:
        nonlocal asked
        if asked - given >= min(AHEAD, wanted()):
            return None
        begun[asked], requested = request(asked)
        asked += 1
        return requested

    for output in in_order(write_on_demand(engine, tokenizer, ask)):
        pieces.append(output.text)
        if output.finished:
            given += 1
            yield "".join([begun.pop(output.number), *pieces])
            pieces.clear()
