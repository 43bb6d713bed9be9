"""Beam search for the likeliest text (Lowerre 1976; Graves 2012).

Shapes: B unfinished beams, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rondel.engine import Engine
from rondel.engine.base import Floats
from rondel.engine.probability import largest, log_softmax
from rondel.errors import InputError
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prime import Start
from rondel.generation.sampling.sampler import History, Shaper
from rondel.generation.stopping import StopScanner
from rondel.text.tokenizers import Decoder, Tokenizer


class BeamText(NamedTuple):
    """A text found by a search."""

    text: str
    """The text after the prime, without the stop string if one ended it."""
    log_probability: float
    """The sum of its tokens' log-probabilities, in nats, after the sampling rules, including the
    stop string's; not divided by the length."""
    tokens: int
    """How many tokens it has, including the stop string's."""


@dataclass
class Beam:
    """A candidate text, without the beginning that all candidates share."""

    log_probability: float
    """Of all its tokens after the prime, in nats, including the shared ones."""
    last: int
    tokens: list[int]
    text: str
    decoder: Decoder
    scanner: StopScanner
    row: int = 0
    """Its parent's row in the batch."""

    @property
    def finished(self) -> bool:
        """Whether a stop string ended it."""
        return self.scanner.stopped

    def rest(self) -> str:
        """Return its text to the end, once the search is over."""
        return self.text + self.scanner.push(self.decoder.finish()) + self.scanner.finish()


def beam_search(
    engine: Engine,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    start: Start,
) -> Iterator[str]:
    """Yield the likeliest text found in pieces, each as soon as all beams agree on it.

    A text's log-probability is the sum of its tokens' after the sampling rules, not divided by the
    length. Texts end at `settings.length` tokens or a stop string.
    """
    history = History(start.ids)
    beams: list[Beam] = []
    for beams in _search(engine, tokenizer, settings, start, history, 1):
        if agreed := _remove_agreed(beams, history)[0]:
            yield agreed
    if rest := beams[0].rest():
        yield rest


def best_texts(
    engine: Engine,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    start: Start,
    count: int,
) -> list[BeamText]:
    """Return the `count` likeliest different texts found by a beam search, likeliest first.

    There are fewer if the beams have fewer different texts. Raises `InputError` if `count` is more
    than the beam width.
    """
    if count > settings.beam_width:
        raise InputError(
            f"{count} texts are asked for, and the search keeps {settings.beam_width}; raise the "
            f"beam width (--beam-width) to {count} or more"
        )
    history, agreed_text, agreed_tokens = History(start.ids), "", 0
    beams: list[Beam] = []
    for beams in _search(engine, tokenizer, settings, start, history, count):
        text, tokens = _remove_agreed(beams, history)
        agreed_text, agreed_tokens = agreed_text + text, agreed_tokens + tokens
    found: dict[str, BeamText] = {}
    for beam in beams:
        text = agreed_text + beam.rest()
        tokens = agreed_tokens + len(beam.tokens)
        found.setdefault(text, BeamText(text, beam.log_probability, tokens))
    return list(found.values())[:count]


def _search(
    engine: Engine,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    start: Start,
    history: History,
    best: int,
) -> Iterator[list[Beam]]:
    """Yield the beams after each token, best first, until the `best` of them are finished."""
    shaper = Shaper(tokenizer, settings.rules)
    logits_BV, state = start.logits_V[None], start.state
    stops = StopScanner(settings.stop)
    beams = [Beam(0.0, int(start.ids[-1]), [], "", start.decoder, stops)]
    for position in range(settings.length):
        if position > 0:
            unfinished = [beam for beam in beams if not beam.finished]
            rows = [beam.row for beam in unfinished]
            last_B = np.array([beam.last for beam in unfinished])
            logits_BV, state = engine.step(last_B, tuple(part[:, rows] for part in state))
        beams = _extend(beams, logits_BV, history, settings.beam_width, shaper, tokenizer)
        yield beams
        # More tokens only make a text less likely, so no unfinished beam can overtake these.
        if all(beam.finished for beam in _different(beams, best)):
            return


def _different(beams: list[Beam], count: int) -> list[Beam]:
    """Return the first `count` beams, without finished ones that repeat another's text."""
    texts: set[str] = set()
    different = []
    for beam in beams:
        if not (beam.finished and beam.text in texts):
            different.append(beam)
        if beam.finished:
            texts.add(beam.text)
    return different[:count]


def _extend(
    beams: list[Beam],
    logits_BV: Floats,
    history: History,
    width: int,
    shaper: Shaper,
    tokenizer: Tokenizer,
) -> list[Beam]:
    """Return the `width` best of the finished beams and the others' continuations, best first."""
    finished = [beam for beam in beams if beam.finished]
    unfinished = [beam for beam in beams if not beam.finished]
    scores_BV = np.stack(
        [
            log_softmax(shaper(logits_V, history.followed_by(beam.tokens))) + beam.log_probability
            for beam, logits_V in zip(unfinished, logits_BV, strict=True)
        ]
    )
    ended = np.array([beam.log_probability for beam in finished])
    scores = np.concatenate([ended, scores_BV.ravel()])
    best = []
    for place in largest(scores, width).tolist():
        if place < len(finished):
            best.append(finished[place])
        else:
            row, token = divmod(place - len(finished), scores_BV.shape[1])
            best.append(_child(unfinished[row], row, token, float(scores[place]), tokenizer))
    return best


def _child(parent: Beam, row: int, token: int, score: float, tokenizer: Tokenizer) -> Beam:
    decoder = _fork(parent.decoder, tokenizer)
    scanner = copy.copy(parent.scanner)
    text = parent.text + scanner.push(decoder.push(token))
    return Beam(score, token, [*parent.tokens, token], text, decoder, scanner, row)


def _fork(decoder: Decoder, tokenizer: Tokenizer) -> Decoder:
    """Copy a decoder, but not the tokenizer and vocabulary that it refers to."""
    shared = (tokenizer, *vars(tokenizer).values())
    return copy.deepcopy(decoder, {id(thing): thing for thing in shared})


def _remove_agreed(beams: list[Beam], history: History) -> tuple[str, int]:
    """Remove the text and the tokens that all beams begin with.

    Returns the text, and how many tokens; these are added to the history.
    """
    characters = _count_agreed([beam.text for beam in beams])
    tokens = _count_agreed([beam.tokens for beam in beams])
    text = beams[0].text[:characters]
    history.append(beams[0].tokens[:tokens])
    for beam in beams:
        beam.text = beam.text[characters:]
        beam.tokens = beam.tokens[tokens:]
    return text, tokens


def _count_agreed(sequences: Sequence[Sequence[object]]) -> int:
    """Return the length of the sequences' common beginning."""
    count = 0
    for elements in zip(*sequences, strict=False):
        if any(element != elements[0] for element in elements):
            break
        count += 1
    return count
