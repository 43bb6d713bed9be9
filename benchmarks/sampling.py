"""Sampling on the CPU: rondel beside plain PyTorch, ONNX Runtime and NumPy.

    python benchmarks/sampling.py [--busy] [--rounds 7] [--json FILE]

One stream: `Model.sample` of a whole text, for each precision that rondel has, against a loop over
`torch.addmv` with nothing allocated twice and no module called (the better of one and two threads),
a loop over `LSTMCell`, one over `nn.LSTM`, a one-step graph in ONNX Runtime where that is
installed, and the plain-NumPy reference. Many streams: against the same loop over `torch.addmm`.
All have the same weights (drawn at random, 65 characters, the embedding as wide as a layer), and
their logits are compared before anything is timed.

The limit of one stream is how fast weights can be read: GB/s measured on arrays as large, and what
rondel uses of it. Then the time from starting `rondel sample` to the first character it makes up,
with everything it needs in the disk's cache. With --busy, one stream is timed beside other busy
processes and alone, in turn, and nothing else is measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import _rondel
import numpy as np
from _machine_limits import read_bandwidth
from _race import SETTLE, Speed, Turn, Worker, best_of, race
from _report import arguments_for, describe, machine, table, write_json
from _rondel import PRIME, Shape
from _sampling_peers import BatchedLoop, CellLoop, ModuleLoop, TunedLoop

SHAPES = [Shape("lstm", 3, 128), Shape("lstm", 2, 512), Shape("lstm", 3, 1024)]
STREAMS_SHAPES, STREAMS = SHAPES[:2], (8, 64, 256)
SMOKE_SHAPES, SMOKE_STREAMS = [Shape("lstm", 2, 16)], (4,)
COMPARED_TOKENS = 30
TUNED = {n: f"tuned loop, {n} thread{'s'[: n > 1]}" for n in (1, 2)}
ONNX = {n: f"ONNX Runtime, {n} thread{'s'[: n > 1]}" for n in (1, 2)}
BATCHED = {n: f"addmm loop, {n} thread{'s'[: n > 1]}" for n in (1, 2)}
CELL, MODULE, REFERENCE = "LSTMCell", "nn.LSTM", "NumPy reference"
BYTES = {"fp32": 4, "int8": 1}
START_SHAPE, PIECES = SHAPES[0], 2000


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument(
        "--busy", type=int, nargs="?", const=1, help="beside so many busy processes (default: 1)"
    )
    arguments = parser.parse_args()
    arguments.seconds = 0.01 if arguments.smoke else 0.4
    arguments.rounds = arguments.rounds or (1 if arguments.smoke else 7)
    shapes = SMOKE_SHAPES if arguments.smoke else SHAPES
    at = machine()
    with (
        Worker(calm=True) as own,
        Worker() as others,
        tempfile.TemporaryDirectory() as scratch,
    ):
        folders = {shape: Path(scratch) / shape.model for shape in {*shapes, START_SHAPE}}
        for shape, folder in folders.items():
            own.call(_rondel.write_model, folder, shape)
        if arguments.busy:
            rows = [busy_row(shape, folders[shape], own, others, arguments) for shape in shapes]
            results: dict[str, Any] = {"busy": [row for group in rows for row in group]}
        else:
            rows = [one_stream(shape, folders[shape], own, others, arguments) for shape in shapes]
            results = {
                "one stream": [row for group in rows for row in group],
                "many streams": list(many_streams(folders, own, others, arguments)),
                "start": [first_character(folders[START_SHAPE], arguments.rounds)],
            }
    for title, lines in results.items():
        print(f"\n{title}\n\n{table(lines)}")
    print(f"\ncharacters/s; {describe(at)}")
    if len(_rondel.precisions()) == 1:
        print("int8 is left out: this rondel does not load it")
    if not has_onnx():
        print("ONNX Runtime is left out: pip install onnxruntime onnx")
    write_json(arguments.json, results, at)


def has_onnx() -> bool:
    return all(find_spec(name) for name in ("onnx", "onnxruntime"))


def one_stream(
    shape: Shape, folder: Path, own: Worker, others: Worker, arguments: Namespace
) -> list[dict[str, Any]]:
    """A line of the table for each precision."""
    ours = [own.make(p, _rondel.Sampling, folder, p) for p in _rondel.precisions()]
    weights = ours[0].ask("weights")
    theirs = [
        *(others.make(name, TunedLoop, shape, weights, n) for n, name in TUNED.items()),
        others.make(CELL, CellLoop, shape, weights, 1),
        others.make(MODULE, ModuleLoop, shape, weights, 1),
        own.make(REFERENCE, _rondel.Reference, shape, weights),
    ]
    if has_onnx():
        from _onnx import OnnxLoop

        theirs += [others.make(name, OnnxLoop, shape, weights, n) for n, name in ONNX.items()]
    ids = np.random.default_rng(3).integers(1, shape.vocabulary, COMPARED_TOKENS)
    difference = largest_difference(ours[0], theirs, ids)
    speeds = race([*ours, *theirs], arguments.rounds, arguments.seconds)
    return [
        one_stream_row(shape, turn.name, speeds, difference, others, arguments) for turn in ours
    ]


def one_stream_row(
    shape: Shape,
    precision: str,
    speeds: dict[str, Speed],
    difference: float,
    others: Worker,
    arguments: Namespace,
) -> dict[str, Any]:
    rate, tuned = speeds[precision].median, best_of(speeds, list(TUNED.values()))
    size = BYTES[precision] * shape.recurrent_weights
    limit = max(others.call(read_bandwidth, size, n, arguments.seconds) for n in TUNED)
    peers = {name: round(speed.median) for name, speed in speeds.items() if name not in BYTES}
    return {
        "vs tuned loop": rate / speeds[tuned].median,
        "model": f"{shape.model}, {precision}",
        "rondel": round(rate),
        "slowest to fastest round": spread(speeds[precision]),
        **peers,
        "MB read a character": size / 1e6,
        "GB/s used": size * rate / 1e9,
        "GB/s measured": limit,
        "largest difference": f"{difference:.0e}",
    }


def many_streams(
    folders: dict[Shape, Path], own: Worker, others: Worker, arguments: Namespace
) -> Iterator[dict[str, Any]]:
    """The lines of the table for streams that are made together."""
    for shape in SMOKE_SHAPES if arguments.smoke else STREAMS_SHAPES:
        for streams in SMOKE_STREAMS if arguments.smoke else STREAMS:
            ours = own.make("rondel", _rondel.Streams, folders[shape], streams)
            weights = own.call(_rondel.weights_of, folders[shape])
            theirs = [
                others.make(name, BatchedLoop, shape, weights, streams, n)
                for n, name in BATCHED.items()
            ]
            ids = np.random.default_rng(3).integers(1, shape.vocabulary, (COMPARED_TOKENS, streams))
            difference = largest_difference(ours, theirs, ids)
            speeds = race([ours, *theirs], arguments.rounds, arguments.seconds)
            best = best_of(speeds, list(BATCHED.values()))
            rate = streams * speeds["rondel"].median
            yield {
                "vs addmm loop": speeds["rondel"].median / speeds[best].median,
                "model": shape.model,
                "streams": streams,
                **{name: round(streams * speed.median) for name, speed in speeds.items()},
                "GFLOP/s": 2 * rate * shape.recurrent_weights / 1e9,
                "largest difference": f"{difference:.0e}",
            }


def largest_difference(ours: Turn, theirs: list[Turn], ids: Any) -> float:
    """Of any logit, after each of some tokens."""
    expected = ours.ask("logits", ids)
    return max(float(np.abs(turn.ask("logits", ids) - expected).max()) for turn in theirs)


def first_character(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds from starting the command to the first character that it made up, on a pipe."""
    times = [seconds_to_first(folder) for _ in range(rounds + 1)][1:]
    return {
        "seconds": statistics.median(times),
        "fastest": min(times),
        "slowest": max(times),
        "command": f"rondel sample {folder.name}",
    }


def seconds_to_first(folder: Path) -> float:
    command = [sys.executable, "-m", "rondel", "sample", str(folder), "--prime", PRIME]
    begin = time.perf_counter()
    with subprocess.Popen([*command, "-n", str(PIECES)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = b""
        while len(text) <= len(PRIME):
            piece = os.read(process.stdout.fileno(), 1)
            if not piece:
                raise SystemExit("rondel sample ended before it had written anything")
            text += piece
        seconds = time.perf_counter() - begin
        process.kill()
    return seconds


def busy_row(
    shape: Shape, folder: Path, own: Worker, others: Worker, arguments: Namespace
) -> Iterator[dict[str, Any]]:
    """One stream alone and beside busy processes, in turn."""
    turns = [own.make(p, _rondel.Sampling, folder, p) for p in _rondel.precisions()]
    weights = turns[0].ask("weights")
    turns += [others.make(name, TunedLoop, shape, weights, n) for n, name in TUNED.items()]
    alone: dict[str, list[float]] = {turn.name: [] for turn in turns}
    beside: dict[str, list[float]] = {turn.name: [] for turn in turns}
    for _ in range(arguments.rounds):
        for name, speed in race(turns, 1, arguments.seconds).items():
            alone[name].append(speed.median)
        with busy_processes(arguments.busy):
            for name, speed in race(turns, 1, arguments.seconds).items():
                beside[name].append(speed.median)
    for name in alone:
        before, after = statistics.median(alone[name]), statistics.median(beside[name])
        yield {
            "of its speed alone": after / before,
            "model": shape.model,
            "by": f"rondel {name}" if name in BYTES else name,
            "alone": round(before),
            "beside": round(after),
            "busy processes": arguments.busy,
        }


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that do nothing but count, until the block ends."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin) for _ in range(count)]
    try:
        time.sleep(20 * SETTLE)
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def spread(speed: Speed) -> str:
    return f"{speed.lowest:,.0f} to {speed.highest:,.0f}"


if __name__ == "__main__":
    main()
