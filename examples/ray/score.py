"""Score or embed the documents of a corpus with Ray Data, on one machine or a cluster.

    python score.py MODEL "texts/*.parquet" --out scores/ [--column text] [--embed]

Reads Parquet with a column of texts, and writes Parquet with more columns: `surprisal` in bits,
summed over the document, and its `tokens` that were scored; or, with --embed and a bidirectional
model, `vector`, the mean over the document's tokens of both its states.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import ray

import rondel
from rondel.evaluation.scoring import ScoringSettings


class Scorer:
    """Adds the surprisal of each document; one is made in each worker, and loads the model once."""

    def __init__(self, model: str, column: str) -> None:
        self.model, self.column = rondel.load(model, threads=1), column

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """A batch of documents with two more columns."""
        texts = [str(text) for text in batch[self.column]]
        tables = self.model.score_many(texts, ScoringSettings(by="token", unit="bits"))
        surprisals = [np.asarray(table["surprisal_bits"], float) for table in tables]
        return {
            **batch,
            # A first token may have nothing before it to be predicted from: no number stands there.
            "surprisal": np.array([np.nansum(values) for values in surprisals]),
            "tokens": np.array([np.isfinite(values).sum() for values in surprisals]),
        }


class Embedder(Scorer):
    """Adds a vector of each document."""

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """A batch of documents with one more column."""
        found = self.model.embed([str(text) for text in batch[self.column]])
        both = [np.concatenate([each.forward, each.backward], axis=1) for each in found]
        return {**batch, "vector": np.stack([states.mean(0) for states in both])}


def run(
    model: str, texts: str, out: str, column: str, embed: bool, workers: int, batch_size: int
) -> None:
    """Map the documents in `texts` and write them to `out`."""
    ray.data.read_parquet(texts).map_batches(
        Embedder if embed else Scorer,
        fn_constructor_args=(model, column),
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    ).write_parquet(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a model folder that all machines see")
    parser.add_argument("texts", help="Parquet files: a path, a folder, or s3://…")
    parser.add_argument("--out", required=True, help="where to write Parquet files")
    parser.add_argument("--column", default="text", help="the column that holds the texts")
    parser.add_argument("--embed", action="store_true", help="embed instead of scoring")
    parser.add_argument("--workers", type=int, default=2, help="models at work, of a core each")
    parser.add_argument("--batch-size", type=int, default=256, help="documents at a time")
    given = parser.parse_args()
    run(
        given.model,
        given.texts,
        given.out,
        given.column,
        given.embed,
        given.workers,
        given.batch_size,
    )
