"""Score and embed a few documents with Ray, and compare every number with one process's."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from score import run

import rondel
from rondel.evaluation.scoring import ScoringSettings

DOCUMENTS = [f"The cup number {number} is full. " * (1 + number % 5) for number in range(60)]
SMALL = {"hidden_size": 16, "steps": 20, "eval_every": 20, "threads": 1, "quiet": True}


def rows_of(folder: Path) -> list[dict[str, object]]:
    """All rows that were written, in the order of their numbers."""
    return sorted(pq.read_table(folder).to_pylist(), key=lambda row: row["number"])


def main() -> None:
    """Raise `AssertionError` if a number differs."""
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        table = pa.table({"number": range(len(DOCUMENTS)), "text": DOCUMENTS})
        pq.write_table(table, place / "texts.parquet", row_group_size=20)
        text = "".join(DOCUMENTS) * 5
        model = rondel.train(text=text, out=place / "model", **SMALL)
        both = rondel.train(text=text, model="bidirectional", out=place / "both", **SMALL)
        texts = str(place / "texts.parquet")
        run(str(place / "model" / "best"), texts, str(place / "scores"), "text", False, 2, 16)
        run(str(place / "both" / "best"), texts, str(place / "vectors"), "text", True, 2, 16)

        tables = model.score_many(DOCUMENTS, ScoringSettings(by="token", unit="bits"))
        columns = [np.asarray(table["surprisal_bits"], float) for table in tables]
        scored = rows_of(place / "scores")
        np.testing.assert_allclose(
            [row["surprisal"] for row in scored], list(map(np.nansum, columns)), rtol=1e-5
        )
        assert [row["tokens"] for row in scored] == [np.isfinite(c).sum() for c in columns]
        expected = [
            np.concatenate([each.forward, each.backward], axis=1).mean(0)
            for each in both.embed(DOCUMENTS)
        ]
        vectors = [row["vector"] for row in rows_of(place / "vectors")]
        np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-6)
    print(f"{len(DOCUMENTS)} documents scored and embedded by two workers as by one process")


if __name__ == "__main__":
    main()
