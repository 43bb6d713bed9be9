"""Words by the ten thousand: full and adaptive softmax beside PyTorch's, and one stream of each.

    python benchmarks/vocabulary.py [--threads 2] [--rounds 5] [--json FILE]

Training is whole steps (data, forward, backward, clipping, Adam) of lstm 1×256, B 8, T 64, on words
drawn by Zipf's law. The full softmax has tied weights, the adaptive one has not. All begin with the
same weights and batch, and their first losses are compared before anything is timed; later ones
differ, since rondel updates only those rows of an untied embedding that a batch has, and PyTorch
all of them.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import _rondel
import _training_peers
import numpy as np
from _race import Worker, race
from _report import arguments_for, describe, machine, table, write_json
from _rondel import Shape

SIZES, SMOKE_SIZES = (10_000, 50_000), (1_200,)
LEARNING_RATE = 1e-3
SETTINGS: dict[str, dict[str, Any]] = {
    "full": {"softmax": "full", "tie_weights": True},
    "adaptive": {"softmax": "adaptive"},
}


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    arguments = parser.parse_args()
    at = machine()
    arguments.seconds = 0.01 if arguments.smoke else 0.5
    arguments.rounds = arguments.rounds or (1 if arguments.smoke else 5)
    sizes = SMOKE_SIZES if arguments.smoke else SIZES
    results = [line for words in sizes for line in lines(words, arguments)]
    print(f"{table(results)}\n\n{describe(at)}; threads: {arguments.threads}")
    write_json(arguments.json, results, at)


def lines(words: int, arguments: Namespace) -> list[dict[str, Any]]:
    """A line for each softmax over so many words; all of them race together."""
    size, batch, steps = (16, 2, 4) if arguments.smoke else (256, 8, 64)
    shape = Shape("lstm", 1, size, batch, steps, words)
    cutoffs = f"{words // 25},{words // 5}"
    rng = np.random.default_rng(2)
    ids = np.minimum(rng.zipf(1.2, 20 * batch * steps + 1) - 1, words - 1).astype(np.int64)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Worker(calm=True) as own,
        Worker() as others,
        Worker(calm=True) as writer,
    ):
        turns, differences = [], {}
        for name, settings in SETTINGS.items():
            given = settings if settings.get("tie_weights") else {**settings, "cutoffs": cutoffs}
            rondel = own.make(
                name, _rondel.Training, shape, ids, LEARNING_RATE, arguments.threads, given
            )
            peer = others.make(
                f"PyTorch {name}",
                _training_peers.TorchWords,
                shape,
                rondel.ask("weights"),
                ids,
                LEARNING_RATE,
                arguments.threads,
            )
            losses = [turn.ask("losses", 1)[0] for turn in (rondel, peer)]
            differences[name] = abs(losses[0] - losses[1])
            folder = Path(scratch) / name
            own.call(_rondel.write_model, folder, shape, given)
            turns += [rondel, peer, writer.make(f"{name}, one stream", _rondel.Sampling, folder)]
        speeds = race(turns, arguments.rounds, arguments.seconds)
    return [
        {
            "words": words,
            "softmax": name,
            "ratio": speeds[name].median / speeds[f"PyTorch {name}"].median,
            "rondel, tokens/s": round(batch * steps * speeds[name].median),
            "PyTorch": round(batch * steps * speeds[f"PyTorch {name}"].median),
            "one stream": round(speeds[f"{name}, one stream"].median),
            "largest difference": f"{differences[name]:.0e}",
        }
        for name in SETTINGS
    ]


if __name__ == "__main__":
    main()
