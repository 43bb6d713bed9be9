"""Kill -9, at every change to the file system and at random moments: nothing is ever lost.

A folder is a whole model or is not there, and a run taken up again ends in the very bits of one
that was never killed.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _processes import ENVIRONMENT, rondel, running

from rondel import load
from rondel.training.callbacks.metrics import read_metrics

SMALL = (
    *("--hidden-size", "32", "--seq-length", "32", "--batch-size", "8", "--threads", "1"),
    *("--eval-every", "8", "--sample-every", "0", "--quiet"),
)
# Enough that a run is never over before its last kill.
CAMPAIGNS = {"torch": (20, 1200), "numpy": (3, 240)}
DETERMINED = ("step", "epoch", "tokens", "train_loss", "val_loss", "learning_rate")


def test_killed_at_any_change_to_the_file_system(text: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("_dies.py")
    done = subprocess.run(
        [sys.executable, str(script), str(text), str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    # A draft's name is drawn anew for each.
    kills = [re.sub(r"\.[0-9a-f]{8}\.draft", ".draft", kill) for kill in json.loads(done.stdout)]
    # Among them the moves that matter: the birth of a run and of its best, and every save.
    for name in (".run.draft", "run/.best.draft"):
        assert kills.count(f"os.rename {name}") == 1
    for name in ("run/.weights.safetensors", "run/.resume.safetensors"):
        assert kills.count(f"write {name}.draft") == kills.count(f"os.rename {name}.draft") == 3
    assert kills.count("os.rename run/best/.weights.safetensors.draft") == 2


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", CAMPAIGNS)
def test_killed_at_random_moments_a_run_ends_as_if_it_never_was(
    backend: str, text: Path, tmp_path: Path
) -> None:
    kills, steps = CAMPAIGNS[backend]
    settings = (text, "--backend", backend, "--steps", steps, *SMALL)
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    assert rondel("train", *settings, "--out", undisturbed).returncode == 0

    draw = np.random.default_rng(7)
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
    assert rondel("train", "--resume", run, "--quiet").returncode == 0

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
    assert not [path for path in tmp_path.rglob(".*") if path.name.endswith((".draft", ".old"))]


def wait_for_a_moment(
    process: subprocess.Popen[str], run: Path, kill: int, draw: np.random.Generator
) -> None:
    """Wait for what a run does (it is born, it trains, it saves), and a random while longer."""
    if not run.exists():
        draft = run.with_name(f".{run.name}.draft")
        leftover = changed(draft)
        # At birth; at the third attempt, once it is born.
        wait_until(process, run.exists if kill == 2 else lambda: changed(draft) > leftover)
    else:
        for _ in range(int(draw.integers(1, 6))):
            known = size(run / "metrics.jsonl")
            wait_until(process, lambda known=known: size(run / "metrics.jsonl") != known)
        if kill % 3:
            name = ("weights", "resume")[kill % 3 - 1]
            wait_until(process, (run / f".{name}.safetensors.draft").exists)
    time.sleep(float(draw.uniform(0, 0.01)))


def changed(path: Path) -> int:
    return path.stat().st_ctime_ns if path.exists() else 0


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_until(process: subprocess.Popen[str], happens: Callable[[], bool]) -> None:
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
