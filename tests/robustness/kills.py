"""Kill -9 at random moments: `python kills.py --kills 15` does it so often to four kinds of model.

A folder is always a whole model or not there, and a run taken up again ends in the very bits of one
that was never killed. Half of the kills wait for a moment that matters (a run is born, its weights
or its snapshot are being written).
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _processes import rondel, running

from rondel import load
from rondel.text.corpora import corpora
from rondel.training.callbacks.metrics_file import read_metrics

SMALL = (
    *("--hidden-size", "32", "--batch-size", "8", "--threads", "1"),
    *("--eval-every", "8", "--sample-every", "0", "--quiet"),
)
STREAMS = ("--seq-length", "32")
KINDS: dict[str, tuple[str, ...]] = {
    "language model": STREAMS,
    "numpy": (*STREAMS, "--backend", "numpy"),
    "bidirectional": (*STREAMS, "--bidirectional"),
    "sentence VAE": ("--model", "sentence-vae", "--latent-size", "8"),
}
# Enough that a run is never over before its last kill.
STEPS_A_KILL, LEAST_STEPS = 60, 120
DETERMINED = ("step", "epoch", "tokens", "train_loss", "val_loss", "learning_rate")


def campaign(kind: str, kills: int, text: Path, place: Path, seed: int = 7) -> None:
    """Kill a run so often, and compare it with one that was never killed; AssertionError if not."""
    steps = max(LEAST_STEPS, STEPS_A_KILL * kills)
    settings = (text, *KINDS[kind], *SMALL, "--steps", steps)
    undisturbed, run = place / "undisturbed", place / "run"
    done = rondel("train", *settings, "--out", undisturbed)
    assert done.returncode == 0, done.stderr

    draw = np.random.default_rng(seed)
    killed_at = []
    for kill in range(kills):
        begin = (*settings, "--out", run)
        command = ("--resume", run, "--quiet") if run.exists() else begin
        with running("train", *command) as process:
            wait_for_a_moment(process, run, kill, draw)
            process.kill()
            said = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, said
        killed_at.append(check_whole(run))
    done = rondel("train", "--resume", run, "--quiet")
    assert done.returncode == 0, done.stderr

    assert killed_at == sorted(killed_at), "a resumed run began before where it was saved"
    assert killed_at[-1] < steps
    for folder in (".", "best"):
        expected, found = load(undisturbed / folder), load(run / folder)
        assert found.progress["step"] == expected.progress["step"]
        assert found.weights.keys() == expected.weights.keys()
        for name, array in expected.weights.items():
            assert found.weights[name].tobytes() == array.tobytes(), (folder, name)
    assert metrics(run) == metrics(undisturbed)
    assert [row["step"] for row in metrics(run)] == sorted(
        {*range(10, steps + 1, 10), *range(8, steps + 1, 8)}
    )
    assert not list(place.rglob(".*"))


def wait_for_a_moment(
    process: subprocess.Popen[str], run: Path, kill: int, draw: np.random.Generator
) -> None:
    """Wait for what a run does (it is born, it trains, it saves), and a random while longer."""
    if not run.exists():
        leftover = drafts(run)
        # At birth; at the second attempt, once it is born.
        wait_until(process, run.exists if kill == 1 else lambda: drafts(run) - leftover)
    else:
        for _ in range(int(draw.integers(1, 6))):
            known = size(run / "metrics.jsonl")
            wait_until(process, lambda known=known: size(run / "metrics.jsonl") != known)
        if kill % 3:
            name = ("weights", "resume")[kill % 3 - 1]
            wait_until(process, lambda: drafts(run / f"{name}.safetensors"))
    time.sleep(float(draw.uniform(0, 0.01)))


def drafts(path: Path) -> set[str]:
    return {draft.name for draft in path.parent.glob(f".{path.name}.*.draft")}


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_until(process: subprocess.Popen[str], happens: Callable[[], object]) -> None:
    while not happens():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.0005)


def check_whole(run: Path) -> int:
    """Every folder that is there is a whole model; the step that the run is at."""
    if not run.exists():
        return 0
    if (run / "best").exists():
        assert load(run / "best").weights
    step = load(run).progress["step"]
    assert isinstance(step, int)
    return step


def metrics(run: Path) -> list[dict[str, object]]:
    return [{name: row[name] for name in DETERMINED} for row in read_metrics(run / "metrics.jsonl")]


def main(kills: int) -> dict[str, str]:
    """What came of each kind of model."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "coffee.txt"
        text.write_text(corpora["coffee"].text(size=30_000, seed=1), encoding="utf-8")
        for kind in KINDS:
            place = Path(folder) / kind
            place.mkdir()
            try:
                campaign(kind, kills, text, place)
                results[kind] = f"{kills} kills, the same bits"
            except AssertionError as error:
                results[kind] = f"differs: {error}"
            print(f"{kind}: {results[kind]}", file=sys.stderr)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=15)
    print(json.dumps(main(parser.parse_args().kills)))
