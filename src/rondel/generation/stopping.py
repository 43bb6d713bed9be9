"""Stop strings: generated text ends before the first of them."""

from __future__ import annotations

from collections.abc import Sequence


class StopScanner:
    """Passes on text up to the earliest stop string, for text that arrives in pieces.

    The earliest is the one that begins first. Text that may be the beginning of a stop string is
    kept back until that is known. Its attributes are immutable: `copy.copy` makes an independent
    scanner.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        beginnings = {stop[:size] for stop in stops for size in range(1, len(stop))}
        # Longest first: of the beginnings that a text ends with, the longest began first.
        self._beginnings = tuple(sorted(beginnings, key=len, reverse=True))
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """Add a piece and return the text that can be shown now; empty once it has stopped."""
        if not self._stops:
            return piece
        if self.stopped or not piece:
            return ""
        text = self._held + piece
        begun = next((len(part) for part in self._beginnings if text.endswith(part)), 0)
        safe, stop = len(text) - begun, self._first_stop(text)
        # A complete stop string counts only if no other may have begun before it.
        self.stopped = stop <= safe and stop < len(text)
        end = stop if self.stopped else safe
        self._held = "" if self.stopped else text[end:]
        return text[:end]

    def finish(self) -> str:
        """Return the text that was kept back, now that no more comes."""
        held, self._held = self._held, ""
        stop = self._first_stop(held)
        self.stopped = self.stopped or stop < len(held)
        return held[:stop]

    def _first_stop(self, text: str) -> int:
        """Return where the earliest stop string in `text` begins; the text's length if none."""
        return min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=len(text))
