"""Training on the CPU: rondel's whole step beside Keras', on each backend that is there.

    python benchmarks/frameworks.py --make-environment DIR     (once; installs Keras there)
    python benchmarks/frameworks.py --environment DIR [--rounds 7] [--json FILE]

An LSTM of one layer of 256 over 65 characters, batches of 32 streams and 64 steps, with Adam and
clipping by the norm. Keras runs in its own process and environment, by `model.fit` without
shuffling; both begin with the same weights, and their logits are compared before anything is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import _rondel
import numpy as np
from _race import Timed, Worker, best_of, race
from _report import arguments_for, describe, machine, table, write_json
from _rondel import Shape

SHAPE, SMOKE_SHAPE = Shape("lstm", 1, 256, 32, 64), Shape("lstm", 1, 16, 4, 8)
PACKAGES = {"jax": ["keras", "jax[cpu]"], "tensorflow": ["keras", "tensorflow-cpu"]}
LEARNING_RATE, BATCHES = 1e-3, 20
WORKER = Path(__file__).with_name("_keras_worker.py")


class KerasProcess:
    """Keras on one backend, told what to do line by line."""

    def __init__(self, python: Path, backend: str, given: Path) -> None:
        self.name = backend
        quiet = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [python, WORKER, given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **quiet},
        )

    def tell(self, command: str) -> dict[str, Any]:
        """Its answer to a command; ends the benchmark if there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(
                f"Keras ended without an answer; see {' '.join(map(str, self._process.args))}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def time(self, count: int) -> float:
        """Seconds for so many batches."""
        seconds: float = self.tell(f"time {count}")["seconds"]
        return seconds

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("--environment", type=Path, help="the environment that Keras is in")
    parser.add_argument("--make-environment", type=Path, metavar="DIR", help="make one, and end")
    parser.add_argument(
        "--backend", choices=PACKAGES, action="append", help="only this (default: all)"
    )
    arguments = parser.parse_args()
    backends = arguments.backend or list(PACKAGES)
    if arguments.make_environment:
        make_environment(arguments.make_environment, backends)
        return
    if not arguments.environment:
        sys.exit(
            "Keras needs an environment of its own: --make-environment DIR, then --environment DIR"
        )
    python = python_of(arguments.environment)
    there = [backend for backend in backends if is_there(python, backend)]
    if not there:
        sys.exit(f"{arguments.environment} has no Keras; make it with --make-environment")
    at = machine()
    rows, version = compare(python, there, arguments.smoke, arguments.rounds)
    print(f"{table(rows)}\n\ntokens/s; {describe(at)}, keras {version}")
    for backend in sorted(set(backends) - set(there)):
        print(f"{backend} is left out: it is not in {arguments.environment}")
    write_json(arguments.json, {"rows": rows, "keras": version}, at)


def compare(
    python: Path, backends: list[str], smoke: bool, rounds: int | None
) -> tuple[list[dict[str, Any]], str]:
    """The lines of the table, and Keras' version."""
    shape, seconds = (SMOKE_SHAPE, 0.05) if smoke else (SHAPE, 1.0)
    with Worker(calm=True) as own, tempfile.TemporaryDirectory() as scratch:
        given = Path(scratch) / "given.npz"
        length = BATCHES * shape.steps * shape.batch + 1
        ids = np.random.default_rng(2).integers(0, shape.vocabulary, length, dtype=np.int64)
        ours = own.make("rondel", _rondel.Training, shape, ids, LEARNING_RATE, None)
        inputs_NBT = ids[:-1].reshape(BATCHES, shape.batch, shape.steps)
        targets_NBT = ids[1:].reshape(BATCHES, shape.batch, shape.steps)
        weights = ours.ask("weights")
        np.savez(
            given,
            inputs=inputs_NBT,
            targets=targets_NBT,
            learning_rate=LEARNING_RATE,
            **weights,
        )
        expected = ours.ask("logits", inputs_NBT[0].T).swapaxes(0, 1)
        theirs = [KerasProcess(python, backend, given) for backend in backends]
        differences, version = {}, ""
        for process in theirs:
            logits = Path(scratch) / f"{process.name}.npy"
            version = process.tell(f"check {logits}")["keras"]
            differences[process.name] = float(np.abs(np.load(logits) - expected).max())
        turns: list[Timed] = [ours, *theirs]
        speeds = race(turns, rounds or (1 if smoke else 7), seconds)
        for process in theirs:
            process.close()
    tokens = shape.batch * shape.steps
    ours_median = speeds["rondel"].median
    best = best_of(speeds, backends)
    return [
        {
            "vs Keras": ours_median / speeds[backend].median,
            "model": shape.label,
            "backend": backend + (" (best)" if backend == best else ""),
            "rondel": round(tokens * ours_median),
            "Keras": round(tokens * speeds[backend].median),
            "largest difference": f"{differences[backend]:.0e}",
        }
        for backend in backends
    ], version


def make_environment(folder: Path, backends: list[str]) -> None:
    """An environment with Keras and these backends."""
    venv.create(folder, with_pip=True)
    wanted = sorted({package for backend in backends for package in PACKAGES[backend]})
    subprocess.run([python_of(folder), "-m", "pip", "install", *wanted], check=True)


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_there(python: Path, backend: str) -> bool:
    """Whether Keras and a backend can be imported."""
    try:
        tried = [python, "-c", f"import importlib.util as u; assert u.find_spec('{backend}')"]
        return subprocess.run(tried, capture_output=True).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    main()
