"""Kills a small run at each change that it makes to the file system, one after another.

Run as a process of its own, `python _dies.py TEXT FOLDER`, because it forks. For each change there
is a fork that stops dead (SIGKILL) there; what that leaves must be a whole model or none, and a run
taken up from it must end as one that was never killed. The same is done to `rondel prepare`, whose
corpus is whole or not there. Prints as JSON where the kills came.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rondel
from rondel.artifact import is_model
from rondel.data.corpus import PreparedCorpus
from rondel.data.sources import Files
from rondel.settings import Settings
from rondel.training.callbacks.metrics_file import MetricsFile, read_metrics
from rondel.training.loop import fit
from rondel.training.start import begin, resume

CHANGES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SETTINGS = Settings(
    {
        "backend": "numpy",
        "hidden_size": 6,
        "seq_length": 8,
        "batch_size": 4,
        "steps": 5,
        "eval_every": 2,
    }
)
DETERMINED = ("step", "epoch", "tokens", "train_loss", "val_loss", "learning_rate")


def train(text: Path, folder: Path) -> None:
    """Begin a run in `folder`, or go on with the one that is there, to its end."""
    if not is_model(folder):
        run = begin(Files([str(text)]), SETTINGS, folder)
    else:
        try:
            run = resume(folder, {})
        except rondel.RondelError as error:
            if "is complete" not in str(error):
                raise
            return
    run.callbacks = [MetricsFile()]
    fit(run)


def state(folder: Path) -> dict[str, Any]:
    """What two runs have in common if they are the same run."""
    models = [rondel.load(folder), rondel.load(folder / "best")]
    return {
        "weights": [
            {name: array.tobytes() for name, array in model.weights.items()} for model in models
        ],
        "steps": [model.progress["step"] for model in models],
        "metrics": [
            {name: row[name] for name in DETERMINED}
            for row in read_metrics(folder / "metrics.jsonl")
        ],
    }


class Death:
    """An audit hook that kills this process at the change number `at` below `folder`.

    A file opened to be written counts twice: the kill comes before, or once a little is written.
    """

    def __init__(self, folder: Path, at: int, note: int) -> None:
        self.folder, self.left, self.note = str(folder), at, note

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or not str(arguments[0]).startswith(self.folder):
            return
        flags = int(arguments[2]) if event == "open" else 0
        if event == "open" and not flags & WRITING:
            return
        if self.left == 0:
            self.die(event, arguments[0])
        if self.left == 1 and event == "open":
            self.left = -1
            os.write(os.open(arguments[0], flags), b"{")
            self.die("write", arguments[0])
        self.left -= 2 if event == "open" else 1

    def die(self, event: str, path: str | Path) -> None:
        os.write(self.note, f"{event} {Path(path).relative_to(self.folder)}".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def in_a_fork(work: Callable[[int], None]) -> tuple[int, str]:
    """Call `work` in a fork, with a pipe to write to: how it ended, and what it wrote."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        work(writer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        written = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), written


def prepare(text: Path, folder: Path) -> None:
    """Prepare a corpus in `folder`, in place of one that is there."""
    rondel.prepare(text, folder, level="word", documents="blank-line", overwrite=True)


def state_of_corpus(folder: Path) -> dict[str, bytes]:
    """Every file of a corpus, which is whole."""
    PreparedCorpus.open(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def check_models(folder: Path) -> None:
    """Raise an error if a model that is there is not whole."""
    for model in (folder, folder / "best"):
        if model.exists():
            rondel.load(model)


def check_corpus(folder: Path) -> None:
    """Raise an error if a corpus that is there is not whole."""
    if folder.exists():
        PreparedCorpus.open(folder)


def killed_at_every_change(
    work: Callable[[Path], None],
    check: Callable[[Path], None],
    state: Callable[[Path], Any],
    workplace: Path,
) -> list[str]:
    """Where `work` in a folder was killed: what that left passes `check`, and is worked on from."""
    work(workplace / "undisturbed")
    expected = state(workplace / "undisturbed")
    kills: list[str] = []
    while True:
        place = workplace / f"killed-{len(kills)}"
        folder = place / "run"

        def die(note: int, place: Path = place, folder: Path = folder) -> None:
            sys.addaudithook(Death(place, len(kills), note))
            work(folder)

        status, before = in_a_fork(die)
        if status == 0:
            assert before == ""
            return kills
        assert status == -signal.SIGKILL, (status, len(kills))
        kills.append(before)
        check(folder)
        work(folder)
        assert state(folder) == expected, before
        left = [path.name for path in place.rglob("*") if path.name.startswith(".")]
        assert not left, (before, left)


def main(text: str, workplace: Path) -> dict[str, list[str]]:
    file = workplace / "text.txt.gz"  # so that it is copied as it is read
    file.write_bytes(gzip.compress(text.encode()))
    return {
        "train": killed_at_every_change(
            lambda folder: train(file, folder), check_models, state, workplace / "train"
        ),
        "prepare": killed_at_every_change(
            lambda folder: prepare(file, folder),
            check_corpus,
            state_of_corpus,
            workplace / "prepare",
        ),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).read_text(encoding="utf-8")[:6000], Path(sys.argv[2]))))
