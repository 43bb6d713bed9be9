"""Missing words: what a sentence VAE, a language model and a bidirectional model put there.

    python benchmarks/imputation.py [CAPTIONS] [--minutes 3] [--sentences 200] [--json FILE]

Four models are trained for the same time on the same sentences (one a line; the corpus
coco, if no file is named), as `rondel train` trains them: the three, and a language model
of another seed as the judge. From held-out sentences one word is taken, the last or one within, and
each model says what it was: how often it is right, at once or among its first five. The judge says
how likely the completed sentences are (Bowman et al. 2016 ask a classifier to tell them from true
ones), beside the true sentences and beside those with the commonest word of the text in the gap.

The language model is asked twice: by what is before the gap alone, and by the whole sentence with
each of the 64 words that it finds likeliest there.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _report import arguments_for, describe, machine, table, write_json
from sentence_vae import HELD_OUT, _text, trained

import rondel
from rondel.evaluation.framing import Framing
from rondel.evaluation.scoring import ScoringSettings

GAP, FIRST = "___", 5
CANDIDATES = 64
Gapped = tuple[str, str, str]
"""What is before the gap, the word, and what is after it."""
Filler = Callable[[str, str], list[str]]
"""Words for a gap between two texts, the best first."""


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("captions", nargs="?", type=Path, help="sentences, one a line")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each training")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--threads", type=int, help="CPU threads to train with")
    parser.add_argument("--sentences", type=int, default=200, help="with a gap, of each kind")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.sentences = 5
    at, text = machine(), _text(arguments)
    lines = text.splitlines()
    held_out = lines[round(len(lines) * (1 - HELD_OUT)) :]
    with tempfile.TemporaryDirectory() as scratch:
        models = {
            name: trained(Path(scratch) / name, text, arguments, **settings)
            for name, settings in {
                "vae": {"model": "sentence-vae"},
                "plain": {"level": "word"},
                "both": {"level": "word", "model": "bidirectional"},
                "judge": {"level": "word", "seed": 2},
            }.items()
        }
    judge, commonest = models.pop("judge"), Counter(text.split()).most_common(1)[0][0]
    fillers: dict[str, Filler] = {
        "sentence VAE": by_filling(models["vae"], ""),
        "language model, left only": by_left(models["plain"]),
        "language model, whole sentence": by_rescoring(models["plain"]),
        "bidirectional": by_filling(models["both"], "\n"),
        f"always {commonest!r}": lambda before, after: [commonest],
    }
    known = {models["plain"].tokenizer.token(i) for i in range(models["plain"].config.vocab_size)}
    rows = []
    for place in ("last", "within"):
        gapped = with_gaps(held_out, known, place, arguments.sentences)
        rows += [row_of(place, name, filler, gapped, judge) for name, filler in fillers.items()]
        rows.append(row_of(place, "the truth", None, gapped, judge))
    print(f"{table(rows)}\n\n{describe(at)}")
    write_json(arguments.json, rows, at)


def with_gaps(lines: Sequence[str], known: set[str], place: str, count: int) -> list[Gapped]:
    """Sentences that lack a word, which the models know, and that is drawn by the same numbers."""
    draw, found = random.Random(1), []
    for line in lines:
        words = line.rstrip(".").split()
        if len(words) < 4:
            continue
        at = len(words) - 1 if place == "last" else draw.randrange(1, len(words) - 1)
        if words[at] in known:
            found.append((" ".join(words[:at]), words[at], " ".join(words[at + 1 :])))
    return found[:count]


def row_of(
    place: str, name: str, filler: Filler | None, gapped: list[Gapped], judge: rondel.Model
) -> dict[str, Any]:
    answers = [filler(before, after) if filler else [word] for before, word, after in gapped]
    hits = [words[:1] == [word] for words, (_, word, _) in zip(answers, gapped, strict=True)]
    among = [word in words[:FIRST] for words, (_, word, _) in zip(answers, gapped, strict=True)]
    sentences = [
        joined(before, words[0], after)
        for words, (before, _, after) in zip(answers, gapped, strict=True)
    ]
    return {
        "word": place,
        "filled by": name,
        "right %": 100 * float(np.mean(hits)),
        f"among {FIRST} %": 100 * float(np.mean(among)),
        "nats by the judge": float(np.mean(surprisals(judge, sentences))),
        "sentences": len(gapped),
    }


def joined(before: str, word: str, after: str) -> str:
    return " ".join(filter(None, (before, word, after)))


def by_filling(model: rondel.Model, edge: str) -> Filler:
    """What `rondel fill --length 1` answers; `edge` is what stands around a sentence."""

    def fill(before: str, after: str) -> list[str]:
        text = edge + joined(before, GAP, after) + edge
        return [one.fillings[0].strip() for one in model.fill(text, length=1, best=FIRST)]

    return fill


def by_left(model: rondel.Model) -> Filler:
    return lambda before, after: likeliest(model, before, FIRST)


def by_rescoring(model: rondel.Model) -> Filler:
    def fill(before: str, after: str) -> list[str]:
        words = likeliest(model, before, CANDIDATES)
        scores = surprisals(model, [joined(before, word, after) for word in words])
        return [words[i] for i in np.argsort(scores, kind="stable")[:FIRST]]

    return fill


def likeliest(model: rondel.Model, before: str, count: int) -> list[str]:
    """The likeliest words after a text that begins a line."""
    ids = model.tokenizer.encode(f"\n{before}")
    logits_TBV, _ = model.engine.sequence(ids[:, None], model.engine.initial_state())
    order = np.argsort(-logits_TBV[-1, 0], kind="stable")
    words = (model.tokenizer.token(int(i)) for i in order if i != model.tokenizer.unknown_id)
    return [word for word in words if not word.isspace()][:count]


def surprisals(model: rondel.Model, sentences: Sequence[str]) -> list[float]:
    """Nats of whole sentences, each as a line."""
    settings = ScoringSettings("document", "nats", framing=Framing("newline", end=True))
    tables = model.score_many(sentences, settings)
    return [float(scored["surprisal_nats"][0]) for scored in tables]


if __name__ == "__main__":
    main()
