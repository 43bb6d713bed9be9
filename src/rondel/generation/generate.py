"""Generated text, streamed as it is made."""

from __future__ import annotations

from collections.abc import Iterator

from rondel.engine import Engine
from rondel.generation.scheduler import Request, StreamBatch
from rondel.generation.settings import GenerationSettings
from rondel.text.tokenizers import Tokenizer


def generate(
    engine: Engine, tokenizer: Tokenizer, settings: GenerationSettings, prime: str, index: int = 0
) -> Iterator[str]:
    """Pieces of text that continue `prime`, which is not among them.

    `prime + "".join(pieces)` is the whole text. Sample `index` of a seed is the same whatever
    others are made. Raises `InputError` if the prime is empty, as it is called; and
    `ModelFolderError`, as the text is made, if the model's output is not a number.
    """
    batch = StreamBatch(engine, tokenizer, capacity=1)
    batch.add(Request(prime, settings, index))
    return _pieces(batch)


def _pieces(batch: StreamBatch) -> Iterator[str]:
    while len(batch):
        for event in batch.step():
            if event.piece:
                yield event.piece


__all__ = ["GenerationSettings", "generate"]
