"""Training by several processes: two of them measured, and more machines computed.

Measured here: tokens a second of one process with one and with two threads, of two processes with a
thread each that train one model, and of two that know nothing of each other, with half of the batch
each; what a message and a byte between two processes take; the bytes of the gradients. Computed
from these: the two processes again, to hold the model against what was measured, and, from networks
that are assumed, steps of 2, 8 and 64 machines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from _report import arguments_for, describe, machine

STREAMS, STEPS = 32, 64
# Processes and threads of each.
WAYS = {"1 × 1": (1, 1), "1 × 2": (1, 2), "2 × 1": (2, 1)}
APART = "two apart"
SIZES = {"1×256": (1, 256), "2×512": (2, 512)}
MACHINES = (1, 2, 8, 64)
LOCAL_STEPS, RANK = 8, 2
PAYLOADS = (1 << 6, 1 << 12, 1 << 16, 1 << 20, 1 << 22)


class Network(NamedTuple):
    """A message of n bytes from one machine to the next takes `latency + n / bandwidth`."""

    latency: float
    bandwidth: float


NETWORKS = {
    "1 Gbit/s, 0.2 ms": Network(2e-4, 1e9 / 8),
    "10 Gbit/s, 0.05 ms": Network(5e-5, 10e9 / 8),
}


def all_reduce_seconds(payload: float, machines: int, network: Network) -> float:
    """Of a ring: 2 (N - 1) messages, each an Nth of the payload."""
    messages = 2 * (machines - 1)
    return messages * (network.latency + payload / machines / network.bandwidth)


def bytes_exchanged(shapes: Sequence[tuple[int, ...]]) -> dict[str, float]:
    """What a process adds to the sum in a step, by `--exchange`."""
    numbers = [1] * len(shapes)
    for index, shape in enumerate(shapes):
        for size in shape:
            numbers[index] *= size
    low_rank = sum(
        min(count, RANK * sum(shape)) if len(shape) == 2 else count
        for shape, count in zip(shapes, numbers, strict=True)
    )
    full = 4.0 * sum(numbers)
    return {
        "full": full,
        "fp16": full / 2,
        "powersgd": 4.0 * low_rank,
        "local": full / LOCAL_STEPS,
    }


def step_seconds(compute: float, payload: float, machines: int, network: Network) -> float:
    """Computing, the gradients, and the one small message of a step; nothing of it at once.

    Where weights are averaged only now and then, `payload` is a step's part of them, and so is the
    number of their messages, which this leaves whole: it is on the safe side.
    """
    if machines == 1:
        return compute
    exchanged = all_reduce_seconds(payload, machines, network)
    return compute + exchanged + all_reduce_seconds(64, machines, network)


def fitted(seconds: dict[int, float]) -> Network:
    """The latency and bandwidth that times of sums by two processes say."""
    smallest, largest = min(seconds), max(seconds)
    latency = seconds[smallest] / 2
    return Network(latency, largest / max(seconds[largest] - seconds[smallest], 1e-9))


def torchrun(processes: int, *command: object) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes)
    done = subprocess.run(
        [sys.executable, *map(str, (*launcher, *command))],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def tokens_per_second(
    text: Path, size: tuple[int, int], processes: int, threads: int, steps: int, streams: int
) -> float:
    """The median over the rows of a run's metrics but the first, which holds its start."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        torchrun(
            processes,
            *("-m", "rondel", "train", text, "--out", run, "--steps", steps, "--quiet"),
            *("--num-layers", size[0], "--hidden-size", size[1], "--batch-size", streams),
            *("--seq-length", STEPS, "--threads", threads, "--device", "cpu"),
            *("--eval-every", 10**9, "--sample-every", 0),
        )
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    # The last row is written after the validation at the end.
    return median(row["tokens_per_second"] for row in rows[1:-1])


def measured_messages(rounds: int) -> dict[int, float]:
    """Seconds of a sum over two processes, by its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "times.json"
        torchrun(2, __file__, "--worker", target, "--rounds", rounds)
        return {int(size): each for size, each in json.loads(target.read_text()).items()}


def time_messages(target: Path, rounds: int) -> None:
    """One of the two processes of `measured_messages`."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    times = {}
    for size in PAYLOADS:
        tensor, found = torch.zeros(size // 4), []
        for _ in range(10 * rounds):
            begin = time.perf_counter()
            dist.all_reduce(tensor)
            found.append(time.perf_counter() - begin)
        times[size] = median(found)
    if dist.get_rank() == 0:
        target.write_text(json.dumps(times))
    dist.destroy_process_group()


def shapes_of(size: tuple[int, int], vocab_size: int) -> list[tuple[int, ...]]:
    """Of the parameters of an LSTM of that size."""
    from rondel.models.language_model_module import LanguageModel
    from rondel.settings import ModelConfig

    config = ModelConfig(
        vocab_size=vocab_size,
        num_layers=size[0],
        hidden_size=size[1],
        embedding_size=64,
        own={"forget_bias": 0.0},
    )
    return [tuple(parameter.shape) for parameter in LanguageModel(config).parameters()]


def measure(sizes: dict[str, tuple[int, int]], rounds: int, steps: int) -> dict[str, Any]:
    from rondel.text.corpora import corpora

    figures: dict[str, Any] = {"messages": measured_messages(rounds), "sizes": {}}
    here = fitted(figures["messages"])
    figures["here"] = here._asdict()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "coffee.txt"
        text.write_text(corpora["coffee"].text(size=400_000, seed=1), encoding="utf-8")
        for name, size in sizes.items():
            speeds: dict[str, list[float]] = {}
            for _ in range(rounds):
                for way, (processes, threads) in WAYS.items():
                    speed = tokens_per_second(text, size, processes, threads, steps, STREAMS)
                    speeds.setdefault(way, []).append(speed)
                speeds.setdefault(APART, []).append(two_apart(text, size, steps))
            medians = {way: median(found) for way, found in speeds.items()}
            payloads = bytes_exchanged(shapes_of(size, 70))
            half = STREAMS * STEPS / medians[APART]
            step = step_seconds(half, payloads["full"], 2, here)
            figures["sizes"][name] = {
                "tokens_per_second": medians,
                "bytes": payloads,
                "computed 2 × 1": STREAMS * STEPS / step,
                "computed": computed(STREAMS * STEPS / medians["1 × 1"], payloads),
            }
    return figures


def two_apart(text: Path, size: tuple[int, int], steps: int) -> float:
    """Tokens a second of two runs at once, each with half of the streams: nothing is exchanged.

    What half of a batch takes is not half the time: an optimiser's step is as long, and the two
    share the machine's memory.
    """
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(tokens_per_second, text, size, 1, 1, steps, STREAMS // 2) for _ in range(2)
        ]
        return sum(run.result() for run in runs)


def computed(compute: float, payloads: dict[str, float]) -> dict[str, dict[str, dict[int, float]]]:
    """How many times one machine's tokens a second, with as many streams on each."""
    return {
        network: {
            exchange: {
                machines: machines
                * compute
                / step_seconds(compute, payload, machines, NETWORKS[network])
                for machines in MACHINES
            }
            for exchange, payload in payloads.items()
        }
        for network in NETWORKS
    }


def report(figures: dict[str, Any]) -> str:
    lines = ["measured here, 32 streams in all (processes × threads), tokens a second", ""]
    lines += [
        f"| model | {' | '.join(WAYS)} | {APART} | 2 × 1 computed |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, found in figures["sizes"].items():
        speeds = [*found["tokens_per_second"].values(), found["computed 2 × 1"]]
        lines.append(f"| {name} | " + " | ".join(f"{speed:,.0f}" for speed in speeds) + " |")
    here = Network(**figures["here"])
    lines += ["", f"between two processes: {here.latency * 1e6:.0f} µs a message, "]
    lines[-1] += f"{here.bandwidth / 1e9:.2f} GB/s"
    lines += ["", "computed: times the tokens of one machine, with 32 streams on each", ""]
    lines.append("| model | network | exchange | MB a step | 2 | 8 | 64 |")
    lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for name, found in figures["sizes"].items():
        for network, exchanges in found["computed"].items():
            for exchange, speedups in exchanges.items():
                megabytes = found["bytes"][exchange] / 1e6
                cells = [f"{megabytes:.2f}", *(f"{speedups[n]:.1f}" for n in MACHINES[1:])]
                lines.append(f"| {name} | {network} | {exchange} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> dict[str, Any]:
    parser = arguments_for(__doc__)
    parser.add_argument("--worker", type=Path, help="(the processes that it starts)")
    parser.add_argument("--steps", type=int, default=60, help="of each run that is timed")
    options = parser.parse_args()
    if options.worker:
        time_messages(options.worker, options.rounds)
        return {}
    at = machine()
    sizes = {"1×16": (1, 16)} if options.smoke else SIZES
    rounds = 1 if options.smoke else options.rounds or 3
    figures = measure(sizes, rounds, 40 if options.smoke else options.steps)
    print(report(figures))
    print()
    print(describe(at))
    if options.json:
        options.json.write_text(json.dumps({"machine": at, **figures}, indent=1) + "\n")
    return figures


if __name__ == "__main__":
    main()
