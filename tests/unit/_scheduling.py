"""A small model, and requests of it, for the tests of writing many texts at once."""

from __future__ import annotations

from _models import random_model

from rondel.engine import build_engine
from rondel.generation.generate import generate
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.stream import Request
from rondel.kernels.threads.autotuner import Autotuner, Split
from rondel.text.tokenizers.char import CharTokenizer

CHARACTERS = "".join(map(chr, range(32, 96)))
TOKENIZER = CharTokenizer("text", CHARACTERS)
VOCAB = TOKENIZER.vocab_size


def model_of(cell="lstm", **shape):
    return random_model(cell, vocab=VOCAB, **{"layers": 2, "hidden": 24, "embedding": 9, **shape})


def text_of(engine, prime="The ", index=0, **settings):
    return "".join(generate(engine, TOKENIZER, GenerationSettings(**settings), prime, index))


def requests(count=24):
    """Of different modes, rules, lengths, primes, stops and seeds."""
    modes, rules = ("sample", "argmax", "spaces"), ({}, {"temperature": 0.6}, {"top_p": 0.9})
    for i in range(count):
        settings = GenerationSettings(
            length=1 + 53 * i % 97,
            mode="beam" if i == 7 else modes[i % 3],
            seed=i,
            stop=("A", "XY") if i % 5 == 0 else (),
            beam_width=2,
            rules=rules[i // 3 % 3],
        )
        yield Request(("THE ", "A", " ")[i % 3], settings, i % 4)


def joined(outputs):
    texts = {}
    for output in outputs:
        texts[output.number] = texts.get(output.number, "") + output.text
    return [texts[number] for number in sorted(texts)]


def use_split(split, monkeypatch):
    """Have it used wherever there are as many rows as blocks."""

    def choose(self, kind, splits, steps):
        blocks = min(split.blocks, max(1, kind[1]))
        return Split(blocks, split.workers), steps

    monkeypatch.setattr(Autotuner, "choose", choose)


def constant_model(logits):
    """One that gives the same logits whatever it reads."""
    config, weights = model_of(layers=1)
    weights["head.weight"][:] = 0
    weights["head.bias"][:] = logits
    return build_engine(config, weights)
