"""How many sentences of n-best lists does a model rescore in a second?

    python benchmarks/rescoring.py [MODEL …] [--utterances 200] [--json FILE]

Without a MODEL, models of random weights are made, by character and by word, which take as long as
trained ones. Hypotheses are sentences of the corpus `coffee`, ten to an utterance; each is read for
itself, with the line break that ends it. Reading the list and writing it are not counted. The best
of three rounds is given, after one that is not counted, and the batch of one beside the default.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from _report import machine, table, write_json

import rondel
from rondel.evaluation.rescoring import Hypothesis
from rondel.text.corpora import corpora

HYPOTHESES, ROUNDS = 10, 3
BATCH_SIZES = (1, 8, 64, 256)
SHAPES: tuple[dict[str, Any], ...] = (
    {"level": "char", "hidden_size": 256},
    {"level": "char", "hidden_size": 512, "num_layers": 2},
    {"level": "word", "hidden_size": 256},
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--utterances", type=int, default=200, help="of ten hypotheses each")
    parser.add_argument("--smoke", action="store_true", help="only see that it runs")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    shapes = [{**shape, "hidden_size": 16} for shape in SHAPES] if arguments.smoke else SHAPES
    utterances = 2 if arguments.smoke else arguments.utterances
    text = corpora["coffee"].text(size=2_000_000, seed=1)
    sentences = [line for line in text.replace(". ", ".\n").split("\n") if line]
    hypotheses = [
        Hypothesis(f"u{i // HYPOTHESES}", -float(i % HYPOTHESES), sentence)
        for i, sentence in enumerate(sentences[: utterances * HYPOTHESES])
    ]
    models = [(str(path), rondel.load(path)) for path in arguments.models]
    results = [
        measure(name, model, hypotheses, size)
        for name, model in models or [(name_of(shape), made(shape, text)) for shape in shapes]
        for size in BATCH_SIZES
    ]
    at = machine()
    print(table(results))
    words = sum(len(hypothesis.text.split()) for hypothesis in hypotheses) / len(hypotheses)
    print(f"\n{len(hypotheses):,} sentences of {words:.1f} words; {at['processor']}")
    write_json(arguments.json, results, at)


def measure(
    name: str, model: rondel.Model, hypotheses: list[Hypothesis], batch_size: int
) -> dict[str, Any]:
    """A line of the table."""
    taken = []
    for _ in range(1 + ROUNDS):
        begun = time.perf_counter()
        model.rescore(hypotheses, batch_size=batch_size)
        taken.append(time.perf_counter() - begun)
    tokens = sum(len(model.tokenizer.encode(hypothesis.text)) + 1 for hypothesis in hypotheses)
    best = min(taken[1:])
    return {
        "model": name,
        "batch size": batch_size,
        "sentences/s": len(hypotheses) / best,
        "tokens/s": tokens / best,
    }


def name_of(shape: dict[str, Any]) -> str:
    """`char, lstm 2×512`."""
    return f"{shape['level']}, lstm {shape.get('num_layers', 1)}×{shape['hidden_size']}"


def made(shape: dict[str, Any], text: str) -> rondel.Model:
    """A model after one step of training."""
    with tempfile.TemporaryDirectory() as scratch:
        lines = text[:200_000].replace(". ", ".\n")
        return rondel.train(
            text=lines, out=Path(scratch) / "run", steps=1, eval_every=10, quiet=True, **shape
        )


if __name__ == "__main__":
    main()
