"""Both sides: what does knowing what comes after a character add to knowing what came before?

    python benchmarks/cloze.py [--minutes 3] [--cell lstm] [--threads 1] [--json FILE]

A language model and a bidirectional model of the same cell and sizes are trained for the same time
on tinyshakespeare, as `rondel train --minutes M` and `rondel train --bidirectional --minutes M`
train them. Then each scores the validation part of its own run, which is the same text: the one
every character given what is before it, the other every character given all the others. Of the
second, the causal half is scored as well, as the language model that it is.

What has nothing before it, the first character, is scored with both sides only. The two kinds of
figure do not mean the same, and are set side by side only to say what the other side is worth.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from _report import machine, table, write_json

import rondel
from rondel.data.store import TokenStore
from rondel.text.corpora import corpora

CORPUS = "tinyshakespeare"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, for each")
    parser.add_argument("--cell", default="lstm")
    parser.add_argument("--threads", type=int, help="CPU threads to train with")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--quiet", action="store_true", help="do not show the training")
    arguments = parser.parse_args()
    results = [
        row for kind in ("language-model", "bidirectional") for row in scored(kind, arguments)
    ]
    at = machine()
    print(table(results))
    causal, cloze = (results[i]["nats per character"] for i in (0, 1))
    print(f"\nthe other side is worth {causal - cloze:.3f} nats per character; {at['processor']}")
    write_json(arguments.json, results, at)


def scored(kind: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Train a model of one kind and score it in each way that it knows."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / kind
        model = rondel.train(
            text=corpora[CORPUS].text(),
            model=kind,
            cell=arguments.cell,
            minutes=arguments.minutes,
            threads=arguments.threads,
            out=folder,
            quiet=arguments.quiet,
        )
        last = rondel.load(folder).progress
        store = TokenStore.open(folder / "tokens")
        ids = store.tokens("validation").copy()
    causal = model.evaluate_tokens(ids, len(ids))
    facts = {"steps": last["step"], "characters trained on": last["tokens"]}
    row = {
        "model": "its causal half" if kind == "bidirectional" else kind,
        "given": "what is before",
        "nats per character": causal.nats_per_token,
        "scored": causal.tokens,
        **facts,
    }
    if kind != "bidirectional":
        return [row]
    cloze = model.evaluate_cloze_tokens(ids, len(ids))
    both = {
        "model": kind,
        "given": "both sides (cloze)",
        "nats per character": cloze.pseudo_nats_per_token,
        "scored": cloze.tokens,
        **facts,
    }
    return [both, row]


if __name__ == "__main__":
    main()
