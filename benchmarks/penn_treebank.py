"""The published setting of sentence VAEs, on a Penn Treebank folder of your own.

    python benchmarks/penn_treebank.py FOLDER [--epochs 10] [--threads 2] [--json FILE]

FOLDER holds `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`, a sentence a line, as they are
passed on for language models; the corpus itself is not rondel's to give. The vocabulary is the
10,000 commonest words, sentences have up to 60, and sizes and annealing are those of
timbmg/Sentence-VAE: a GRU of 256 units on either side, words of 300 numbers, points of 16.

The table is in the form of the published ones: NLL is the negative ELBO in nats per sentence, its
end included, and perplexity is per token by it. Beside it stands the importance-weighted bound.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from _report import arguments_for, describe, machine, table, write_json

import rondel
from rondel.api.sentence_vae import SentenceVAE
from rondel.errors import InputError
from rondel.text.reading import read_text

PARTS = ("train", "valid", "test")
LONGEST = 60
PUBLISHED = {
    "model": "sentence-vae",
    "level": "word",
    "word_split": "spaces",
    "vocab_size": 10_000,
    "min_count": 1,
    "cell": "gru",
    "hidden_size": 256,
    "embedding_size": 300,
    "latent_size": 16,
    "dropout": 0.0,
    "embedding_dropout": 0.5,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "schedule": "constant",
    # Its weight is a half after 2,500 steps.
    "kl_annealing": "logistic",
    "kl_annealing_steps": 5000,
    "word_dropout": 0.0,
    "free_bits": 0.0,
}
SMOKE = {"hidden_size": 16, "embedding_size": 8, "batch_size": 8}


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("folder", type=Path, help="with ptb.train.txt, ptb.valid.txt, ptb.test.txt")
    parser.add_argument("--epochs", type=float, default=10, help="(default: 10)")
    parser.add_argument("--threads", type=int, help="CPU threads to train with")
    parser.add_argument("--iw-samples", type=int, default=10, help="(default: 10)")
    arguments = parser.parse_args()
    at = machine()
    parts = {name: sentences(arguments.folder / f"ptb.{name}.txt") for name in PARTS}
    with tempfile.TemporaryDirectory() as scratch:
        vae = trained(Path(scratch) / "run", parts, arguments)
    rows = [judged(name, lines, vae, arguments.iw_samples) for name, lines in parts.items()]
    print(table(rows))
    print(f"\nnats per sentence; {describe(at)}")
    print("published, test: timbmg/Sentence-VAE NLL 103.967, KL 7.269; Texar VAE-LSTM NLL 102.10")
    write_json(arguments.json, rows, at)


def sentences(path: Path) -> list[str]:
    """The sentences of a file that are no longer than the published setting has them."""
    lines = (" ".join(line.split()) for line in read_text([str(path)]).splitlines())
    kept = [line for line in lines if line and len(line.split()) <= LONGEST]
    if not kept:
        raise InputError(f"{path} has no sentence of up to {LONGEST} words")
    return kept


def trained(folder: Path, parts: dict[str, list[str]], arguments: Namespace) -> SentenceVAE:
    count = sum(map(len, parts.values()))
    model = rondel.train(
        text="".join(f"{line}\n" for name in PARTS for line in parts[name]),
        out=folder,
        epochs=arguments.epochs,
        threads=arguments.threads,
        validation_fraction=len(parts["valid"]) / count,
        test_fraction=len(parts["test"]) / count,
        quiet=arguments.smoke,
        **{**PUBLISHED, **(SMOKE if arguments.smoke else {})},
    )
    assert isinstance(model, SentenceVAE)
    return model


def judged(name: str, lines: list[str], vae: SentenceVAE, iw_samples: int) -> dict[str, Any]:
    found = vae.evaluate_sentences(lines, iw_samples=iw_samples)
    return {
        "part": name,
        "NLL": found.negative_elbo / found.sentences,
        "KL": found.kl / found.sentences,
        "perplexity": found.elbo_perplexity,
        "NLL, importance-weighted": found.iw_nll / found.sentences,
        "sentences": found.sentences,
        "active": found.active_units,
    }


if __name__ == "__main__":
    main()
