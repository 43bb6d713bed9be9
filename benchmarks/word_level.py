"""Word level: does a recurrent model, trained for minutes with no setting changed, beat n-grams?

    python benchmarks/word_level.py [alice coco …] [--minutes 3] [--json FILE]

For each corpus an LSTM is trained as `rondel train --level word --minutes M` trains it. Then
everything scores the validation part of that very run: the same token ids, in order, from the run's
own token store. The n-gram models count the ids the LSTM was trained on. The first token is context
and nobody scores it; a word that is not in the vocabulary counts as `<unk>` for all.

The LSTM remembers the lines before, which no n-gram does: neighbours among the captions describe
the same photograph. So it is scored again with its state set to zero at the start of each line.
"""

from __future__ import annotations

import argparse
import itertools
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _report import machine, table, write_json

import rondel
from rondel.data.store import Ids, TokenStore
from rondel.evaluation.ngram import NGramModel
from rondel.text.corpora import corpora

ORDERS = (1, 2, 3, 4, 5)
SAMPLE: dict[str, Any] = {"length": 80, "temperature": 0.8, "seed": 1}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=["alice", "coco"])
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, for each corpus")
    parser.add_argument("--threads", type=int, help="CPU threads to train with")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--quiet", action="store_true", help="do not show the training")
    arguments = parser.parse_args()
    results = [measure(name, arguments) for name in arguments.corpora]
    for result in results:
        print(f"{result['corpus']}, sampled at temperature {SAMPLE['temperature']}:")
        print(result["sample"], end="\n\n")
    at = machine()
    print(table([row(result) for result in results]))
    print(f"\nperplexity per token; {at['processor']}, {at['torch_threads']} threads")
    write_json(arguments.json, results, at)


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train on a corpus and score its validation part in every way."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        model = rondel.train(
            text=corpora[name].text(),
            level="word",
            minutes=arguments.minutes,
            threads=arguments.threads,
            out=folder,
            quiet=arguments.quiet,
        )
        store = TokenStore.open(folder / "tokens")
        training, validation = (store.tokens(part) for part in ("train", "validation"))
        figures = model.evaluate_tokens(validation, store.splits["validation"].characters)
        alone = perplexity_line_by_line(model, validation)
    ngrams = {
        order: ngram_perplexity(order, model.tokenizer.vocab_size, training, validation)
        for order in ORDERS
    }
    return {
        "corpus": name,
        "minutes": arguments.minutes,
        "vocabulary": model.tokenizer.vocab_size,
        "training_tokens": len(training),
        "training_unknown": int((training == model.tokenizer.unknown_id).sum()),
        "scored_tokens": figures.tokens,
        "scored_unknown": figures.unknown,
        "ngram_perplexity": ngrams,
        "lstm_perplexity": figures.perplexity,
        "lstm_perplexity_line_by_line": alone,
        "lstm_bits_per_character": figures.bits_per_character,
        "lstm_progress": dict(model.progress),
        "sample": model.sample(**SAMPLE),
    }


def ngram_perplexity(order: int, vocab_size: int, training: Ids, validation: Ids) -> float:
    """Perplexity per token, Kneser-Ney smoothed, of all the validation tokens but the first."""
    surprisals = NGramModel(order, vocab_size).fit(training).surprisals(validation)
    return math.exp(surprisals[1:].mean())


def perplexity_line_by_line(model: rondel.Model, ids: Ids) -> float:
    """Perplexity of the same tokens where nothing before the last line break is remembered."""
    breaks = [i for i in range(model.tokenizer.vocab_size) if "\n" in model.tokenizer.token(i)]
    ends = np.flatnonzero(np.isin(ids[1:], breaks)) + 1
    bounds = [0, *ends.tolist(), len(ids) - 1]
    lines = [
        model.evaluate_tokens(ids[begin : end + 1], 1)
        for begin, end in itertools.pairwise(bounds)
        if end > begin
    ]
    assert sum(line.tokens for line in lines) == len(ids) - 1
    return math.exp(sum(line.nats for line in lines) / (len(ids) - 1))


def row(result: dict[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    ngrams = result["ngram_perplexity"]
    best = min(ngrams, key=ngrams.__getitem__)
    return {
        "corpus": result["corpus"],
        "vocabulary": result["vocabulary"],
        "tokens trained on": result["training_tokens"],
        "tokens scored": result["scored_tokens"],
        "of them <unk>": result["scored_unknown"],
        "unigram": ngrams[1],
        "5-gram Kneser-Ney": ngrams[5],
        "best n-gram": f"{ngrams[best]:.1f} (n = {best})",
        "LSTM": result["lstm_perplexity"],
        "LSTM, line by line": result["lstm_perplexity_line_by_line"],
        "LSTM against 5-gram": f"{100 * (result['lstm_perplexity'] / ngrams[5] - 1):+.0f} %",
    }


if __name__ == "__main__":
    main()
