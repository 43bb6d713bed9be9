"""Damage folders at random, thousands of times, and see what rondel makes of them.

    python tests/robustness/fuzz.py --cases 10000 --kernels 100

Each case copies a small run (of each kind of model), damages one file, and then shows, samples and
scores with it and resumes it. The only right answers: it is refused in one line, or gives what the
whole one gives. Half of the cases are sealed (their sums made right again); those may also give
something else. A fault is any other exception, a wait of more than `PATIENCE` seconds, or another
result from a folder that was not sealed. Kernels are damaged in a cache of their own, and used by
processes of their own.

A seed gives the same cases; a fault is printed with the number to see it again with `--only`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import faulthandler
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from _mutations import WAYS_OF_FILES, mutate, replace, seal
from click.testing import CliRunner

import rondel
from rondel.cli import cli
from rondel.errors import RondelError
from rondel.kinds import kind_of
from rondel.settings.toml import read_run_config
from rondel.text.corpora import corpora
from rondel.training.callbacks.metrics_file import METRICS, MetricsFile, read_metrics
from rondel.training.callbacks.plot import draw_losses
from rondel.training.loop import fit
from rondel.training.run import CHANGEABLE
from rondel.training.snapshots import read_snapshot
from rondel.training.start import begin, configure, resume

PATIENCE = 20
STEPS = 4
TEXT = "The cup is hot.\nA bean is a bean.\n"
SMALL: dict[str, Any] = {
    "hidden_size": 6,
    "batch_size": 4,
    "seq_length": 8,
    "steps": STEPS,
    "eval_every": 2,
    "threads": 1,
    "device": "cpu",
    "dropout": 0.0,
}
SUBJECTS: dict[str, dict[str, Any]] = {
    "char": {"embedding_size": 4, "num_layers": 2},
    "numpy": {"backend": "numpy", "cell": "gru", "embedding_size": 0},
    "both": {"model": "bidirectional", "level": "word", "vocab_size": 60, "cell": "gru"},
    "byte": {"level": "byte", "cell": "rnn", "optimizer": "rmsprop"},
    "vae": {"model": "sentence-vae", "latent_size": 3, "embedding_size": 4, "aggressive": True,
            "tie_weights": False, "vocab_size": 60, "encoder_bidirectional": True},
}  # fmt: skip
Result = tuple[Any, ...]


def make_subjects(scratch: Path, names: Iterable[str]) -> dict[str, Path]:
    """A small run of each of these kinds, in a folder each."""
    text = corpora["coffee"].text(size=2_000, seed=1)
    folders = {}
    for name in names:
        folders[name] = scratch / name
        run = begin(text, configure({**SMALL, **SUBJECTS[name]}), folders[name])
        run.callbacks = [MetricsFile()]
        fit(run)
    return folders


def use(folder: Path) -> Result:
    """Everything that is done with a run: what it writes, finds and learns."""
    done = CliRunner().invoke(cli, ["show", str(folder)], catch_exceptions=False)
    model = rondel.load(folder)
    written = model.sample(length=8, seed=1)
    scored = None
    if model.config.model != "sentence-vae":
        scored = model.evaluate(TEXT).nats_per_token
    best = rondel.load(folder / "best").sample(length=8, seed=2)
    run = resume(folder, {"steps": STEPS + 2})
    run.callbacks = [MetricsFile()]
    fit(run)
    rows = read_metrics(folder / METRICS)
    if rows != [row for row in rows if row["step"] <= STEPS] and len(rows) < 3:
        draw_losses(
            rows, "title", kind_of(model.config), "word"
        )  # drawing takes long: of few rows only
    arrays = read_snapshot(folder / "resume.safetensors")[0].arrays
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(name.encode() + arrays[name].tobytes())
    return done.exit_code, written, scored, best, run.progress.step, total.hexdigest()


class TooLong(BaseException):
    """A case took longer than anybody would wait."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Raise `TooLong` if the block takes too long; if even that does nothing, say where it is."""

    def late(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    faulthandler.dump_traceback_later(3 * PATIENCE, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def settings_changed_on_purpose(folder: Path, whole: Path) -> bool:
    """Whether run.toml says another thing that a person may change there."""
    changed, usual = (read_run_config(place / "run.toml").training for place in (folder, whole))
    names = set(CHANGEABLE) - {"steps"}  # which the resume itself changes
    return any(getattr(changed, name) != getattr(usual, name) for name in names)


@dataclasses.dataclass
class Fuzzer:
    """Runs cases by number, over the same subjects."""

    scratch: Path
    seed: int
    subjects: Iterable[str] = tuple(SUBJECTS)

    def __post_init__(self) -> None:
        self.folders = make_subjects(self.scratch / "subjects", self.subjects)
        self.whole = {}
        for name, folder in self.folders.items():
            shutil.rmtree(self.scratch / "whole", ignore_errors=True)
            self.whole[name] = use(Path(shutil.copytree(folder, self.scratch / "whole")))

    def case(self, number: int) -> tuple[str, str]:
        """What came of a case (refused, same, other, or a fault), and what it was."""
        rng = random.Random(f"{self.seed} {number}")
        name, sealed = rng.choice(sorted(self.folders)), number % 2 == 1
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folders[name], folder)
        told = f"{name}{', sealed' if sealed else ''}: {mutate(folder, rng)}"
        if sealed:
            seal(folder)
        try:
            with watched(), contextlib.redirect_stderr(io.StringIO()):
                result = use(folder)
        except RondelError as error:
            line = str(error)
            return ("FAULT: many lines" if "\n" in line else "refused"), f"{told} | {line}"
        except TooLong:
            return "FAULT: hangs", told
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            return "FAULT: traceback", f"{told} | {error!r:.200} at {where.filename}:{where.lineno}"
        if result == self.whole[name]:
            return "same", told
        # A run writes its settings anew, and none of those that a person may change is lost.
        own = sealed or settings_changed_on_purpose(folder, self.folders[name])
        return ("other" if own else "FAULT: another result"), told


KERNELS = """
import numpy as np
from _models import random_model, some_state
from rondel.engine import build_engine
for precision in ("fp32", "int8"):
    model = random_model("gru", layers=2, hidden=37, vocab=70, embedding=7)
    engine = build_engine(*model, precision, threads=1)
    tokens_TB = np.random.default_rng(1).integers(0, 70, (9, 3))
    print(engine.sequence(tokens_TB, some_state(*model, 3))[0].tobytes().hex())
"""


def run_kernels(cache: Path) -> tuple[str, str]:
    """What a process computes with the kernels of a cache, and what it says."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(cache)}
    tests = str(Path(__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join([tests, *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", KERNELS],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr


def fuzz_kernels(scratch: Path, cases: int, seed: int) -> Counter[str]:
    """Damage a cache of kernels, a file or all of them at a time."""
    counts: Counter[str] = Counter()
    cache = scratch / "kernels"
    whole = run_kernels(cache)
    assert whole[1] == "", whole[1]
    for number in range(cases):
        rng = random.Random(f"{seed} kernels {number}")
        files = sorted(path for path in cache.rglob("*.kernel") if path.is_file())
        chosen = files if number % 10 == 9 else [rng.choice(files)]
        told = []
        for path in chosen:
            way = rng.choice([*WAYS_OF_FILES[:-1], replace])
            told.append(f"{path.name}: {way(path, rng)}")
        result = run_kernels(cache)
        outcome = "same" if result == whole else "FAULT: another result"
        counts[outcome] += 1
        if outcome != "same":
            print(f"kernels {number}: {told[:3]} | {result[1][-300:]}", flush=True)
    return counts


def main() -> None:
    """Run the cases, print the faults and the figures; status 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--kernels", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one case, and what came of it")
    asked = parser.parse_args()
    begun = time.monotonic()
    # In memory where there is such a place: most of the time goes into files otherwise.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        scratch = Path(place)
        fuzzer = Fuzzer(scratch, asked.seed)
        counts: Counter[str] = Counter()
        for number in range(asked.cases) if asked.only is None else [asked.only]:
            outcome, told = fuzzer.case(number)
            counts[outcome] += 1
            if outcome.startswith("FAULT") or asked.only is not None:
                print(f"{number}: {outcome}: {told}", flush=True)
        kernels = fuzz_kernels(scratch, asked.kernels if asked.only is None else 0, asked.seed)
    for what, found in (("folders", counts), ("kernels", kernels)):
        listed = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(found.items()))
        print(f"{what}: {sum(found.values()):,} cases: {listed or 'none'}")
    print(f"{time.monotonic() - begun:.0f} seconds")
    sys.exit(any(outcome.startswith("FAULT") for outcome in {**counts, **kernels}))


if __name__ == "__main__":
    main()
