"""Two processes, one folder: `python races.py --rounds 100` says how many folders were spoilt.

Each round starts two commands at once, or one while the other is at work: two new runs, two that
overwrite a model, two that resume a run. A folder is good if it ends as one of the two commands
alone would have left it, to the bit, and if the other said in one line why it did nothing.

The commands run in forks of this process, which has imported all they need, so that they start
within milliseconds of each other.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rondel import artifact
from rondel.cli import main as rondel
from rondel.cli import train as _preloaded  # noqa: F401
from rondel.kinds import kinds
from rondel.text.corpora import corpora
from rondel.training import numpy_learner, start  # noqa: F401
from rondel.training.callbacks import plot, standard
from rondel.training.callbacks.metrics_file import read_metrics

SIZES = (6, 7)
STEPS = 24
DETERMINED = ("step", "epoch", "tokens", "train_loss", "val_loss", "learning_rate")
REFUSALS = ("another rondel is training in", "holds a model already", "is complete")


class Ended(NamedTuple):
    """How a command ended, and what it wrote to standard error."""

    status: int
    said: str


def train(*arguments: object) -> list[str]:
    settings = ("--backend", "numpy", "--seq-length", 8, "--batch-size", 4, "--eval-every", 3)
    return ["rondel", "train", *map(str, (*arguments, *settings, "--quiet"))]


def resume(folder: Path) -> list[str]:
    return ["rondel", "train", "--resume", str(folder), "--steps", str(STEPS), "--quiet"]


def begin(command: list[str]) -> Callable[[], Ended]:
    """Start a command in a fork; what is returned waits for its end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        sys.argv, sys.stderr = command, os.fdopen(writer, "w", buffering=1)
        status = 70  # of a traceback
        try:
            rondel()
        except SystemExit as error:
            status = int(error.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)

    def end() -> Ended:
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said)

    return end


def state(folder: Path) -> dict[str, Any]:
    """What two folders have in common if they hold the same run."""
    models = [artifact.load(folder), artifact.load(folder / "best")]
    return {
        "weights": [{n: a.tobytes() for n, a in model.weights.items()} for model in models],
        "steps": [model.progress["step"] for model in models],
        "metrics": [
            {name: row[name] for name in DETERMINED}
            for row in read_metrics(folder / "metrics.jsonl")
        ],
        "files": sorted(path.name for path in folder.iterdir()),
    }


class Races:
    """The rounds, in folders below `place`; they are drawn with `seed`."""

    def __init__(self, place: Path, seed: int = 1) -> None:
        self.place, self.draw = place, np.random.default_rng(seed)
        self.text = place / "text.txt"
        self.text.write_text(corpora["coffee"].text(size=6000, seed=1), encoding="utf-8")
        self.alone, self.seconds = [], 0.0
        for size in SIZES:
            begun = time.monotonic()
            self._must(self.new(place / f"alone-{size}", size))
            self.seconds = time.monotonic() - begun
            self.alone.append(state(place / f"alone-{size}"))
        self._must(self.new(place / "short", SIZES[0], STEPS // 2))

    def new(self, folder: Path, size: int, steps: int = STEPS, *flags: str) -> list[str]:
        settings = ("--hidden-size", size, "--steps", steps, "--schedule", "constant")
        return train(self.text, "--out", folder, *settings, *flags)

    def two_new(self, folder: Path) -> bool:
        ends = [begin(self.new(folder, size)) for size in SIZES]
        return self.is_good(folder, [end() for end in ends], self.alone)

    def overwrite_while_writing(self, folder: Path) -> bool:
        shutil.copytree(self.place / "short", folder)
        first = begin(self.new(folder, SIZES[0], STEPS, "--overwrite"))
        time.sleep(float(self.draw.uniform(0, self.seconds)))
        second = begin(self.new(folder, SIZES[1], STEPS, "--overwrite"))
        return self.is_good(folder, [first(), second()], self.alone)

    def two_resumes(self, folder: Path) -> bool:
        shutil.copytree(self.place / "short", folder)
        first = begin(resume(folder))
        time.sleep(float(self.draw.choice([0, self.draw.uniform(0, self.seconds / 2)])))
        second = begin(resume(folder))
        return self.is_good(folder, [first(), second()], self.alone[:1])

    def is_good(self, folder: Path, ends: list[Ended], expected: list[dict[str, Any]]) -> bool:
        """Whether `folder` is as one command left it, and each ended as it should."""
        try:
            whole = state(folder) in expected
        except Exception as error:
            print(f"{folder.name}: {error}", file=sys.stderr)
            return False
        good = sorted(end.status for end in ends) in ([0, 0], [0, 1])
        for end in ends:
            lines = end.said.splitlines()
            refused = len(lines) == 1 and any(why in lines[0] for why in REFUSALS)
            good = good and (refused if end.status else not lines)
        hidden = [path.name for path in self.place.iterdir() if path.name.startswith(".")]
        if not (whole and good and not hidden):
            print(f"{folder.name}: whole {whole}, {ends}, left {hidden}", file=sys.stderr)
        return whole and good and not hidden

    def _must(self, command: list[str]) -> None:
        end = begin(command)()
        assert end.status == 0, end


def main(rounds: int) -> dict[str, int]:
    """How many folders were spoilt, by kind of race."""
    # Imports what a run writes and draws with.
    standard.standard_callbacks()
    importlib.import_module("tensorboard.summary")
    rows = [{"step": 1, "train_loss": 1.0, "val_loss": 1.0}]
    plot.draw_losses(rows, "", kinds["language-model"], "")
    spoilt = {}
    with tempfile.TemporaryDirectory() as place:
        races = Races(Path(place))
        for race in (races.two_new, races.overwrite_while_writing, races.two_resumes):
            name = race.__name__.replace("_", " ")
            spoilt[name] = 0
            for number in range(rounds):
                folder = Path(place) / f"{race.__name__}-{number}"
                spoilt[name] += not race(folder)
                shutil.rmtree(folder, ignore_errors=True)
            print(f"{name}: {spoilt[name]} of {rounds} spoilt", file=sys.stderr)
    return spoilt


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    print(json.dumps(main(parser.parse_args().rounds)))
