"""Gibbs sampling: draw the tokens of a text again, each given all the others (Geman & Geman 1984).

A bidirectional model gives no probability of a whole text to draw it from at once. Its conditional
distributions are also not exactly those of any one joint distribution, so that what many sweeps
come to is the model's own, and nothing of the text's (Berglund et al. 2015).

Shapes: T time, B batch, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.errors import InputError
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.sampling.sampler import Shaper, draw, stream_rng
from rondel.text.tokenizers import Tokenizer

Choose = Callable[[Floats, int], Ids]
"""The tokens (B,) to put at a place, given their logits (B, V)."""


def sweep(
    engine: BidirectionalEngine,
    tokens_TB: Ids,
    before: EngineState,
    after: EngineState,
    choose: Choose,
) -> None:
    """Choose every token anew, from the first to the last, given those around it; in place.

    `before` and `after` are the states of the two stacks at the edges.
    """
    # What stands after a place does not change until the place has been passed.
    after_TBH, _ = engine.after(tokens_TB, after)
    state = before
    for place, after_BH in enumerate(after_TBH):
        tokens_TB[place] = choose(engine.logits(state[0][-1], after_BH), place)
        state = engine.causal.advance(tokens_TB[place][None], state)


def gibbs(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    text: str,
    sweeps: int,
    settings: GenerationSettings,
    index: int = 0,
) -> Iterator[str]:
    """The text after each of so many sweeps over it, as long in tokens as it was.

    Of the settings, the seed and the rules count; a rule that looks at what was written is given
    what stands before the place. Sample `index` of a seed is the same whatever others are made.
    Raises `InputError` if there is no text.
    """
    ids = tokenizer.encode(text)
    if len(ids) == 0:
        raise InputError("there is no text to begin from: give one of at least one character")
    if sweeps < 1:
        raise InputError(f"sweeps must be at least 1, not {sweeps}")
    return _texts(engine, tokenizer, ids, sweeps, settings, stream_rng(settings.seed, index))


def _texts(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    ids: Ids,
    sweeps: int,
    settings: GenerationSettings,
    rng: np.random.Generator,
) -> Iterator[str]:
    shaper = Shaper(tokenizer, settings.rules)
    tokens_T1 = ids[:, None].astype(np.int64)
    before, after = engine.causal.initial_state(), engine.reverse.initial_state()

    def choose(logits_1V: Floats, place: int) -> Ids:
        return np.array([draw(shaper(logits_1V[0], tokens_T1[:place, 0]), rng)])

    for _ in range(sweeps):
        sweep(engine, tokens_T1, before, after, choose)
        yield tokenizer.decode(tokens_T1[:, 0].tolist())
