"""Training on the CPU: rondel's kernels beside PyTorch's, forward and backward.

    python benchmarks/training.py [--whole] [--threads 2] [--rounds 7] [--json FILE]

Each row is one model and batch (65 characters, the embedding as wide as a layer) and is raced
against three peers: PyTorch as it comes, PyTorch with oneDNN off, and two replicas of the model in
two Python threads, half of the batch each, with their gradients summed. All begin with the same
weights and batch, and their gradients are compared before anything is timed.

With --whole there is a second table, of steps of training with everything in them: the data,
clipping and the optimiser (for the peers fused Adam and `clip_grad_norm_`); it is their losses over
the first few steps that are compared.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import _rondel
import numpy as np
from _machine_limits import matmul_peak
from _race import Turn, Worker, best_of, race
from _report import arguments_for, describe, machine, table, write_json
from _rondel import Shape
from _training_peers import TorchTraining, TorchWhole, TwoReplicas, TwoReplicasWhole

SHAPES = [
    Shape("lstm", 1, 256, 32, 64),
    Shape("lstm", 2, 128, 50, 50),
    Shape("lstm", 3, 128, 50, 50),
    Shape("lstm", 2, 512, 50, 50),
    Shape("lstm", 2, 512, 100, 100),
    Shape("gru", 3, 128, 50, 50),
    Shape("gru", 2, 512, 50, 50),
]
WHOLE_SHAPES = [Shape("lstm", 2, 256, 32, 64)]
SMOKE_SHAPES = [Shape("gru", 2, 16, 4, 8)]
LEARNING_RATE, COMPARED_STEPS = 1e-3, 5
RONDEL, PLAIN, ONE_DNN_OFF, REPLICAS = "rondel", "PyTorch", "oneDNN off", "two replicas"
PEERS = (PLAIN, ONE_DNN_OFF, REPLICAS)


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("--whole", action="store_true", help="also whole steps of training")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch's own (default: 2)")
    arguments = parser.parse_args()
    at = machine()
    arguments.seconds, arguments.rounds = (
        (0.01, arguments.rounds or 1) if arguments.smoke else (0.4, arguments.rounds or 7)
    )
    kernels, whole = (SMOKE_SHAPES,) * 2 if arguments.smoke else (SHAPES, WHOLE_SHAPES)
    races = {"forward and backward": (enter_kernels, kernels)}
    if arguments.whole:
        races["whole steps"] = (enter_whole, whole)
    with Worker(calm=True) as own, Worker() as others:
        size = 128 if arguments.smoke else 2048
        peaks = {
            n: others.call(matmul_peak, n, size, 10 * arguments.seconds)
            for n in sorted({1, arguments.threads})
        }
        results = {
            title: [run(enter, shape, own, others, peaks, arguments) for shape in shapes]
            for title, (enter, shapes) in races.items()
        }
    for title, rows in results.items():
        print(f"\n{title}\n\n{table(rows)}")
    print(f"\ntokens/s; {describe(at)}; PyTorch's threads: {arguments.threads}")
    for threads, peak in peaks.items():
        print(f"matmul peak, {threads} thread{'s'[: threads > 1]}: {peak:.0f} GFLOP/s")
    write_json(arguments.json, {**results, "matmul_peak_gflops": peaks}, at)


def run(
    enter: Callable[[Shape, Worker, Worker, int], tuple[list[Turn], float]],
    shape: Shape,
    own: Worker,
    others: Worker,
    peaks: dict[int, float],
    arguments: Namespace,
) -> dict[str, Any]:
    """One race; a line of the table."""
    turns, difference = enter(shape, own, others, arguments.threads)
    speeds = race(turns, arguments.rounds, arguments.seconds)
    line = row(shape, speeds, difference, peaks[arguments.threads])
    print(f"{shape.label}: {line['vs best peer']:.2f}", flush=True)
    return line


def enter_kernels(
    shape: Shape, own: Worker, others: Worker, threads: int
) -> tuple[list[Turn], float]:
    """Forward and backward; the largest difference of a gradient, as a fraction of the largest."""
    rondel = own.make(RONDEL, _rondel.Kernels, shape, threads)
    given = shape, rondel.ask("weights"), _rondel.random_batch(shape)
    turns = [
        rondel,
        others.make(PLAIN, TorchTraining, *given, threads),
        others.make(ONE_DNN_OFF, TorchTraining, *given, threads, False),
        others.make(REPLICAS, TwoReplicas, *given),
    ]
    ours, *theirs = (turn.ask("gradients") for turn in turns)
    differences = [
        np.abs(ours[name] - gradients[name]).max() / np.abs(gradients[name]).max()
        for gradients in theirs
        for name in gradients
    ]
    return turns, float(max(differences))


def enter_whole(
    shape: Shape, own: Worker, others: Worker, threads: int
) -> tuple[list[Turn], float]:
    """Whole steps; the largest difference of a loss over the first few."""
    length = 200 * shape.steps * shape.batch + 1
    ids = np.random.default_rng(2).integers(0, shape.vocabulary, length, dtype=np.int64)
    rondel = own.make(RONDEL, _rondel.Training, shape, ids, LEARNING_RATE, threads)
    given = shape, rondel.ask("weights"), ids, LEARNING_RATE
    turns = [
        rondel,
        others.make(PLAIN, TorchWhole, *given, threads),
        others.make(ONE_DNN_OFF, TorchWhole, *given, threads, False),
        others.make(REPLICAS, TwoReplicasWhole, *given),
    ]
    ours, *theirs = (np.array(turn.ask("losses", COMPARED_STEPS)) for turn in turns)
    return turns, float(max(np.abs(ours - losses).max() for losses in theirs))


def row(shape: Shape, speeds: dict[str, Any], difference: float, peak: float) -> dict[str, Any]:
    """A line of the table."""
    tokens = shape.batch * shape.steps
    rates = {name: tokens * speed.median for name, speed in speeds.items()}
    best = best_of(speeds, PEERS)
    done = rates[RONDEL] * shape.training_flops / 1e9
    return {
        "vs best peer": rates[RONDEL] / rates[best],
        "model": shape.label,
        **{name: round(rate) for name, rate in rates.items()},
        "slowest to fastest round": " to ".join(
            f"{tokens * rate:,.0f}" for rate in (speeds[RONDEL].lowest, speeds[RONDEL].highest)
        ),
        "GFLOP/s": done,
        "of peak": f"{done / peak:.0%}",
        "largest difference": f"{difference:.0e}",
    }


if __name__ == "__main__":
    main()
