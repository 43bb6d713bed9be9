"""A corpus: a counting song."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.text.corpora import corpora
from rondel.text.corpora.base import BuiltIn

BOTTLES = 1000


@dataclass(frozen=True)
class GreenBottles(BuiltIn):
    """A verse for each bottle, from the last to the first."""

    def whole_text(self) -> str:
        """See `Corpus.whole_text`."""
        return "\n".join(map(verse, range(BOTTLES, 0, -1)))


def verse(number: int) -> str:
    """What is sung of so many bottles."""
    return (
        f"{number} green bottles hanging on the wall,\n"
        "and if one green bottle should accidentally fall,\n"
        f"there'll be {number - 1} green bottles hanging on the wall.\n"
    )


corpora.register("example-bottles")(
    GreenBottles(
        name="example-bottles",
        description="a song about green bottles",
        size="about 140 kB",
        licence="public domain",
    )
)
