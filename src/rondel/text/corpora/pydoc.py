"""The prose that ships with Python: the language reference, as `help()` shows it."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.text.corpora import corpora
from rondel.text.corpora.base import BuiltIn


@dataclass(frozen=True)
class Pydoc(BuiltIn):
    """Every topic of `pydoc_data.topics`, in order of name."""

    def whole_text(self) -> str:
        """See `Corpus.whole_text`."""
        from pydoc_data.topics import topics

        return "\n".join(topics[name] for name in sorted(topics))


corpora.register("pydoc")(
    Pydoc(
        name="pydoc",
        description="the Python language reference, as help() shows it",
        size="about 500 kB",
        licence="PSF-2.0",
    )
)
