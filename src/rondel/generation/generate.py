"""Generated text, streamed as it is made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rondel.engine import Engine
from rondel.generation.beam import beam_search
from rondel.generation.draw import stream_rng
from rondel.generation.history import History
from rondel.generation.modes import Chooser, chooser
from rondel.generation.settings import GenerationSettings
from rondel.generation.shaping import Shaper
from rondel.generation.start import Start, read_prime
from rondel.generation.stopping import StopScanner
from rondel.text.tokenizers import Tokenizer


def generate(
    engine: Engine, tokenizer: Tokenizer, settings: GenerationSettings, prime: str, index: int = 0
) -> Iterator[str]:
    """Pieces of text that continue `prime`, which is not among them.

    `prime + "".join(pieces)` is the whole text. Sample `index` of a seed is the same whatever
    others are made. Raises `InputError` if the prime is empty, as it is called; and
    `ModelFolderError`, as the text is made, if the model's output is not a number.
    """
    shaper = Shaper(tokenizer, settings.rules)
    start = read_prime(engine, tokenizer, prime)
    if settings.mode == "beam":
        return beam_search(engine, tokenizer, settings, start, shaper)
    choose = chooser(settings.mode, tokenizer, stream_rng(settings.seed, index))
    return _one_by_one(engine, settings, start, shaper, choose)


def _one_by_one(
    engine: Engine, settings: GenerationSettings, start: Start, shaper: Shaper, choose: Chooser
) -> Iterator[str]:
    logits_V, state, decoder = start.logits_V, start.state, start.decoder
    history = History(start.ids)
    scanner = StopScanner(settings.stop)
    token = int(start.ids[-1])
    for position in range(settings.length):
        if position > 0:
            logits_1V, state = engine.step(np.array([token]), state)
            logits_V = logits_1V[0]
        token = choose(shaper(logits_V, history.followed_by()), token)
        history.append([token])
        if piece := scanner.push(decoder.push(token)):
            yield piece
        if scanner.stopped:
            return
    if rest := scanner.push(decoder.finish()) + scanner.finish():
        yield rest


__all__ = ["GenerationSettings", "generate"]
