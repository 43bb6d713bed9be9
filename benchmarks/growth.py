"""How cost grows: one thing at a time made larger, all else as it was.

    python benchmarks/growth.py [--largest-text 1000] [--scratch DIR] [--json FILE]

Training is whole steps, as `rondel train` takes them; sampling is `Model.sample`, or as many
streams as there are in a batch where that is what grows. Where it is the threads that grow, the
process is given so many cores (on Linux only). The last table is the beginning of a run: reading a
text, making its vocabulary, encoding and storing it.
"""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _rondel
import numpy as np
from _race import Timed, Worker, race
from _report import arguments_for, describe, machine, table, write_json
from _rondel import Shape

from rondel.text.corpora import corpora

BASE = Shape("lstm", 1, 256, 32, 64)
GROWING: dict[str, tuple[int, ...]] = {
    "hidden": (64, 128, 256, 512, 1024),
    "layers": (1, 2, 3, 4),
    "batch": (1, 4, 16, 64, 256),
    "vocabulary": (50, 500, 5_000, 50_000),
}
TEXTS = (1, 10, 100, 1000)
MEGABYTE = 1_000_000
SMOKE_BASE, SMOKE_GROWING = Shape("lstm", 1, 16, 4, 8), {"hidden": (16, 32), "batch": (2,)}
TRAINING, SAMPLING = "training", "sampling"


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument(
        "--largest-text", type=int, default=TEXTS[-1], metavar="MB", help="(default: 1000)"
    )
    parser.add_argument("--scratch", type=Path, help="folder for texts as large as that")
    arguments = parser.parse_args()
    arguments.seconds = 0.01 if arguments.smoke else 1.0
    arguments.rounds = arguments.rounds or (1 if arguments.smoke else 5)
    at = machine()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        results = {
            "models": list(models(Path(scratch), arguments)),
            "texts": list(texts(Path(scratch), arguments)),
        }
    base = SMOKE_BASE if arguments.smoke else BASE
    print(f"all else: {base.label}, {base.vocabulary} characters\n\n{table(results['models'])}\n")
    print(f"{table(results['texts'])}\n\n{describe(at)}")
    write_json(arguments.json, results, at)


def models(scratch: Path, arguments: Namespace) -> Iterator[dict[str, Any]]:
    """A line for each size of each thing that grows."""
    base, growing = (SMOKE_BASE, SMOKE_GROWING) if arguments.smoke else (BASE, GROWING)
    with Worker(calm=True) as worker:
        for parameter, value in ((name, size) for name in growing for size in growing[name]):
            shape = base._replace(**{parameter: value})
            streams = value if parameter == "batch" else 1
            speeds = speeds_of(shape, streams, worker, scratch, arguments)
            yield {"what grows": parameter, "to": value, **speeds}
    if hasattr(os, "sched_setaffinity"):
        most = 1 if arguments.smoke else min(2, len(os.sched_getaffinity(0)))
        for threads in range(1, most + 1):
            with Worker(calm=True, cores=threads) as worker:
                speeds = speeds_of(base, 1, worker, scratch, arguments)
            yield {"what grows": "threads", "to": threads, **speeds}


def speeds_of(
    shape: Shape, streams: int, worker: Worker, scratch: Path, arguments: Namespace
) -> dict[str, float]:
    """Tokens a second, in training and in sampling."""
    length = 20 * shape.steps * shape.batch + 1
    ids = np.random.default_rng(2).integers(0, shape.vocabulary, length, dtype=np.int64)
    folder = Path(tempfile.mkdtemp(dir=scratch)) / "model"
    worker.call(_rondel.write_model, folder, shape)
    sampled = (_rondel.Streams, folder, streams) if streams > 1 else (_rondel.Sampling, folder)
    turns: list[Timed] = [
        worker.make(TRAINING, _rondel.Training, shape, ids, 1e-3, None),
        worker.make(SAMPLING, *sampled),
    ]
    speeds = race(turns, arguments.rounds, arguments.seconds)
    return {
        "tokens/s in training": shape.batch * shape.steps * speeds[TRAINING].median,
        "tokens/s in sampling": streams * speeds[SAMPLING].median,
    }


def texts(scratch: Path, arguments: Namespace) -> Iterator[dict[str, Any]]:
    """A line for each size of text, each prepared in a process of its own."""
    text = corpora["pydoc"].text().encode()
    for megabytes in [size for size in TEXTS if size <= arguments.largest_text] or TEXTS[:1]:
        size = 100_000 if arguments.smoke else megabytes * MEGABYTE
        source, folder = scratch / f"{megabytes}.txt", scratch / f"{megabytes}"
        with source.open("wb") as file:
            for begin in range(0, size, len(text)):
                file.write(text[: size - begin])
        with Worker(calm=True) as worker:
            prepared = worker.call(_rondel.prepare, source, folder)
        stored = sum(path.stat().st_size for path in folder.iterdir())
        source.unlink()
        yield {
            "text, MB": size / MEGABYTE,
            "seconds": prepared.seconds,
            "MB/s": size / MEGABYTE / prepared.seconds,
            "peak memory, MB": prepared.peak_bytes / MEGABYTE,
            "stored, MB": stored / MEGABYTE,
            "tokens": prepared.tokens,
        }


if __name__ == "__main__":
    main()
