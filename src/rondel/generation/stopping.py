"""Where generated text ends: at the first of its stop strings."""

from __future__ import annotations

from collections.abc import Sequence


class StopScanner:
    """Passes text on up to the earliest stop string, however the text is cut into pieces.

    "Earliest" is by where a stop string begins. What could be the beginning of one is held back
    until that is known. All it keeps is immutable: `copy.copy` makes an independent scanner.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        beginnings = {stop[:size] for stop in stops for size in range(1, len(stop))}
        # The longest is the one that begins first, of those that the text may end with.
        self._beginnings = tuple(sorted(beginnings, key=len, reverse=True))
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """What of the text is safe to show after this piece; nothing once it has stopped."""
        if not self._stops:
            return piece
        if self.stopped or not piece:
            return ""
        text = self._held + piece
        begun = next((len(part) for part in self._beginnings if text.endswith(part)), 0)
        safe, stop = len(text) - begun, self._first_stop(text)
        # A stop string that is complete still waits for one that may have begun before it.
        self.stopped = stop <= safe and stop < len(text)
        end = stop if self.stopped else safe
        self._held = "" if self.stopped else text[end:]
        return text[:end]

    def finish(self) -> str:
        """What was held back and turns out to be shown, now that the text is at its end."""
        held, self._held = self._held, ""
        stop = self._first_stop(held)
        self.stopped = self.stopped or stop < len(held)
        return held[:stop]

    def _first_stop(self, text: str) -> int:
        """Where the earliest stop string in `text` begins; the text's length if there is none."""
        return min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=len(text))
