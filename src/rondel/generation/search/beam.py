"""Beam search: the likeliest text, by keeping several at a time (Lowerre 1976; Graves 2012).

Shapes: B beams that go on, V vocabulary.
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
    """A text that a search has found."""

    text: str
    """What follows the prime, without the stop string that may have ended it."""
    log_probability: float
    """The sum of its tokens', a stop string's among them, after the rules, in nats: not divided by
    the length."""
    tokens: int
    """How many it has, a stop string's among them."""


@dataclass
class Beam:
    """One text of several, from where it differs from some other."""

    log_probability: float
    """Of all its tokens after the prime, in nats."""
    last: int
    tokens: list[int]
    text: str
    decoder: Decoder
    scanner: StopScanner
    row: int = 0
    """Where it stands in the batch."""

    @property
    def finished(self) -> bool:
        """Whether a stop string has ended it."""
        return self.scanner.stopped

    def rest(self) -> str:
        """What is left to show of it, at the end."""
        return self.text + self.scanner.push(self.decoder.finish()) + self.scanner.finish()


def beam_search(
    engine: Engine,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    start: Start,
) -> Iterator[str]:
    """Pieces of the likeliest text found, each given once every beam agrees on it.

    A text's log-probability is the sum of its tokens', after the rules; it is not divided by the
    length. Texts end at `settings.length` tokens or a stop string.
    """
    history = History(start.ids)
    beams: list[Beam] = []
    for beams in _searched(engine, tokenizer, settings, start, history, 1):
        if agreed := _take_agreed(beams, history)[0]:
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
    """The `count` likeliest texts found by one such search, likeliest first, each once.

    They are fewer if the beams do not hold so many different ones. Raises `InputError` if there are
    fewer beams.
    """
    if count > settings.beam_width:
        raise InputError(
            f"{count} texts are asked for, and the search keeps {settings.beam_width}; raise the "
            f"beam width (--beam-width) to {count} or more"
        )
    history, agreed_text, agreed_tokens = History(start.ids), "", 0
    beams: list[Beam] = []
    for beams in _searched(engine, tokenizer, settings, start, history, count):
        text, tokens = _take_agreed(beams, history)
        agreed_text, agreed_tokens = agreed_text + text, agreed_tokens + tokens
    found: dict[str, BeamText] = {}
    for beam in beams:
        text = agreed_text + beam.rest()
        tokens = agreed_tokens + len(beam.tokens)
        found.setdefault(text, BeamText(text, beam.log_probability, tokens))
    return list(found.values())[:count]


def _searched(
    engine: Engine,
    tokenizer: Tokenizer,
    settings: GenerationSettings,
    start: Start,
    history: History,
    best: int,
) -> Iterator[list[Beam]]:
    """The beams after each token, best first, until the `best` of them are finished."""
    shaper = Shaper(tokenizer, settings.rules)
    logits_BV, state = start.logits_V[None], start.state
    stops = StopScanner(settings.stop)
    beams = [Beam(0.0, int(start.ids[-1]), [], "", start.decoder, stops)]
    for position in range(settings.length):
        if position > 0:
            going_on = [beam for beam in beams if not beam.finished]
            rows = [beam.row for beam in going_on]
            last_B = np.array([beam.last for beam in going_on])
            logits_BV, state = engine.step(last_B, tuple(part[:, rows] for part in state))
        beams = _grown(beams, logits_BV, history, settings.beam_width, shaper, tokenizer)
        yield beams
        # A text only gets less likely as it goes on: none can overtake.
        if all(beam.finished for beam in _different(beams, best)):
            return


def _different(beams: list[Beam], count: int) -> list[Beam]:
    """The first `count` beams, not counting those that are finished with the text of another."""
    texts: set[str] = set()
    different = []
    for beam in beams:
        if not (beam.finished and beam.text in texts):
            different.append(beam)
        if beam.finished:
            texts.add(beam.text)
    return different[:count]


def _grown(
    beams: list[Beam],
    logits_BV: Floats,
    history: History,
    width: int,
    shaper: Shaper,
    tokenizer: Tokenizer,
) -> list[Beam]:
    """The `width` best, best first, of the finished beams and of what the others can become."""
    finished = [beam for beam in beams if beam.finished]
    going_on = [beam for beam in beams if not beam.finished]
    scores_BV = np.stack(
        [
            log_softmax(shaper(logits_V, history.followed_by(beam.tokens))) + beam.log_probability
            for beam, logits_V in zip(going_on, logits_BV, strict=True)
        ]
    )
    ended = np.array([beam.log_probability for beam in finished])
    scores = np.concatenate([ended, scores_BV.ravel()])
    grown = []
    for place in largest(scores, width).tolist():
        if place < len(finished):
            grown.append(finished[place])
        else:
            row, token = divmod(place - len(finished), scores_BV.shape[1])
            grown.append(_child(going_on[row], row, token, float(scores[place]), tokenizer))
    return grown


def _child(parent: Beam, row: int, token: int, score: float, tokenizer: Tokenizer) -> Beam:
    decoder = _fork(parent.decoder, tokenizer)
    scanner = copy.copy(parent.scanner)
    text = parent.text + scanner.push(decoder.push(token))
    return Beam(score, token, [*parent.tokens, token], text, decoder, scanner, row)


def _fork(decoder: Decoder, tokenizer: Tokenizer) -> Decoder:
    """An independent copy of a decoder, which goes on sharing the tokenizer and its vocabulary."""
    shared = (tokenizer, *vars(tokenizer).values())
    return copy.deepcopy(decoder, {id(thing): thing for thing in shared})


def _take_agreed(beams: list[Beam], history: History) -> tuple[str, int]:
    """Take the text that all beams begin with off them, and their first tokens: how many."""
    characters = _count_agreed([beam.text for beam in beams])
    tokens = _count_agreed([beam.tokens for beam in beams])
    text = beams[0].text[:characters]
    history.append(beams[0].tokens[:tokens])
    for beam in beams:
        beam.text = beam.text[characters:]
        beam.tokens = beam.tokens[tokens:]
    return text, tokens


def _count_agreed(sequences: Sequence[Sequence[object]]) -> int:
    """How many elements all of the sequences begin with alike."""
    count = 0
    for elements in zip(*sequences, strict=False):
        if any(element != elements[0] for element in elements):
            break
        count += 1
    return count
