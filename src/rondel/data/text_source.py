"""What a run asks of its text, and what can be asked for one: see `rondel.data.sources`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.data.text_preparation import MakeTokenizer, PreparedText
from rondel.kinds.base import Kind
from rondel.settings import TextConfig
from rondel.text.stored import StoredText
from rondel.text.storing import WatchReading, unwatched_reading
from rondel.text.tokenizers import train_on_blocks


@dataclass(frozen=True)
class Preparation:
    """How a text is to be made ready to train on, and where its tokens are to lie."""

    kind: Kind
    """The kind of model that is to read it."""
    settings: TextConfig
    seed: int
    """Draws what a text may begin with."""
    folder: Path
    """Of the tokens; new."""
    make_tokenizer: MakeTokenizer = train_on_blocks
    watch: WatchReading = unwatched_reading

    def of_text(self, text: StoredText) -> PreparedText:
        """The same of a text that is stored; `InputError` if it cannot be used."""
        prepared: PreparedText = self.kind.prepare(
            text, self.settings, self.seed, self.make_tokenizer, self.folder, self.watch
        )
        return prepared


class TextSource(ABC):
    """What can be made ready to train on."""

    def fixed(self) -> dict[str, Any]:
        """The settings of a run that it decides; by default none."""
        return {}

    @abstractmethod
    def prepare(self, wanted: Preparation) -> PreparedText:
        """Write the tokens of the text to a new folder; `InputError` if it cannot be used."""
