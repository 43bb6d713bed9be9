"""Ctrl-C, SIGTERM, runs that are over, and losses that are no numbers any more."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from _processes import ENVIRONMENT, HANG, TINY, Refuse, contents, rondel, running, the_one_line

import rondel as package
from rondel import load
from rondel.training.callbacks.metrics_file import read_metrics

# A constant rate, so that a run's steps are the same whatever its limit.
LONG = (
    *("--hidden-size", "16", "--seq-length", "16", "--batch-size", "4", "--threads", "1"),
    *("--eval-every", "40", "--schedule", "constant", "--sample-every", "0"),
)


def same_weights(one: Path, other: Path) -> bool:
    first, second = load(one).weights, load(other).weights
    return first.keys() == second.keys() and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )


@pytest.fixture(autouse=True)
def _hears_hang_ups() -> Iterator[None]:
    """A test that ignores SIGHUP, as under nohup, hands that on to the commands that it runs."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "status", "word", "backend"),
    [
        (signal.SIGINT, 130, "interrupted", "torch"),
        (signal.SIGTERM, 143, "terminated", "numpy"),
        (signal.SIGHUP, 129, "hung up", "numpy"),
    ],
)
def test_an_interrupted_run_saves_and_goes_on(
    number: signal.Signals, status: int, word: str, backend: str, text: Path, tmp_path: Path
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    settings = ("train", text, "--backend", backend, *LONG)
    with running(*settings, "--out", run, "--steps", "1000000") as process:
        while not (run / "metrics.jsonl").exists() or not (run / "best").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(0.013)
        process.send_signal(number)
        said, complaints = process.communicate(timeout=HANG)
    assert process.returncode == status
    assert complaints == ""
    step = load(run).progress["step"]
    lines = said.splitlines()
    assert f"{word} at step {step:,}; the latest model is {run}" in lines
    assert f"to resume: rondel train --resume {run}" in lines

    # The line that it printed, with a nearer end: one where a row is due, and no validation is.
    end = (step // 40 + 1) * 40 + 10
    done = rondel("train", "--resume", run, "--steps", end)
    assert done.returncode == 0, done.stderr
    assert f"resuming from step {step:,}" in done.stdout.splitlines()
    assert f"finished at step {end:,}; the latest model is {run}" in done.stdout.splitlines()
    assert rondel(*settings, "--out", whole, "--steps", end, "--quiet").returncode == 0
    assert same_weights(run, whole)
    assert same_weights(run / "best", whole / "best")
    steps = [row["step"] for row in read_metrics(run / "metrics.jsonl")]
    assert steps == [row["step"] for row in read_metrics(whole / "metrics.jsonl")]
    assert steps == sorted({*range(10, end, 10), end})


UNENDING = (*LONG, "--backend", "numpy", "--eval-every", "1000000", "--steps", "1000000")


def wait_for_rows(run: Path, process: subprocess.Popen[str] | None = None) -> None:
    while not (run / "metrics.jsonl").exists() or not (run / "metrics.jsonl").stat().st_size:
        assert process is None or process.poll() is None
        time.sleep(0.01)


def test_a_run_whose_terminal_is_closed_saves(text: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rondel", "train", text, "--out", tmp_path / "run", *UNENDING]
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, list(map(str, command)), ENVIRONMENT)
    reading = threading.Thread(target=read_all, args=(terminal,), daemon=True)
    reading.start()
    try:
        wait_for_rows(tmp_path / "run")
        os.close(terminal)
        status = os.waitpid(child, 0)[1]
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    assert os.waitstatus_to_exitcode(status) == 129
    assert load(tmp_path / "run").progress["step"] >= 10


def read_all(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass


def test_a_run_under_nohup_goes_on_when_its_terminal_is_closed(text: Path, tmp_path: Path) -> None:
    run, before = tmp_path / "run", signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running("train", text, "--out", run, *UNENDING) as process:
            wait_for_rows(run, process)
            process.send_signal(signal.SIGHUP)
            rows = len(read_metrics(run / "metrics.jsonl"))
            while len(read_metrics(run / "metrics.jsonl")) < rows + 3:
                assert process.poll() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_whose_output_nobody_reads_saves_as_it_ends(text: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = (*LONG, "--backend", "numpy", "--steps", "1000000")
    with running("train", text, "--out", run, *settings) as process:
        assert process.stdout is not None
        wait_for_rows(run, process)
        process.stdout.close()
        assert process.wait(timeout=HANG) == 1
    step = load(run).progress["step"]
    assert step % 40 == 0
    assert step == read_metrics(run / "metrics.jsonl")[-1]["step"]


def test_a_run_that_is_over_says_so(refuse: Refuse, model: Path) -> None:
    for more in ([], ["--steps", "3"], ["--quiet"]):
        line = refuse("train", "--resume", "model", *more)
        assert "model is complete (finished at step 4" in line
        assert "give it a higher --epochs, --steps or --minutes" in line


CHANGES = [
    (["--hidden-size", "9"], "cannot change hidden_size"),
    (["--learning-rate", "0.1"], "cannot change learning_rate"),
    (["--level", "word"], "cannot change level"),
    (["--seed", "2"], "cannot change seed"),
    (["--backend", "torch"], "cannot change backend"),
]


@pytest.mark.parametrize(("flags", "words"), CHANGES, ids=[" ".join(f) for f, _ in CHANGES])
def test_a_resumed_run_keeps_its_settings(
    flags: list[str], words: str, refuse: Refuse, model: Path
) -> None:
    line = refuse("train", "--resume", "model", "--steps", "9", *flags)
    assert words in line
    assert "--init-from model" in line


@pytest.mark.parametrize(
    ("others", "word"),
    [
        (["text.txt"], "TEXT"),
        (["--corpus", "coffee"], "--corpus"),
        (["--out", "new"], "--out"),
        (["--init-from", "model"], "--init-from"),
        (["--config", "model/run.toml"], "--config"),
        (["--overwrite"], "--overwrite"),
    ],
)
def test_a_resumed_run_takes_nothing_that_begins_one(
    others: list[str], word: str, refuse: Refuse, model: Path
) -> None:
    line = refuse("train", "--resume", "model", *others)
    assert f"leave {word} out" in line


def test_a_run_that_is_over_can_be_made_longer(model: Path) -> None:
    begun = load(model).progress
    longer = package.resume(model, steps=7, quiet=True)
    assert begun["step"] == 4
    assert load(model).progress["step"] == 7
    assert longer.progress["val_loss"] <= begun["val_loss"]
    assert "steps = 7" in (model / "run.toml").read_text()


def explode(text: Path, out: Path, *flags: str) -> str:
    """Train so fast that nothing can stay finite; what the command says."""
    done = rondel(
        *("train", text, "--out", out, *TINY, "--backend", "torch", "--optimizer", "sgd"),
        *("--cell", "rnn", "--nonlinearity", "relu", "--clip-norm", "0", "--threads", "1"),
        *("--steps", "20", *flags),
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return the_one_line(done.stderr)


@pytest.mark.parametrize("every", ["1", "20"])
def test_a_loss_that_is_no_number_stops_the_run_at_the_last_good_state(
    every: str, text: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    line = explode(text, run, "--learning-rate", "1e20", "--eval-every", every)
    assert "loss is nan" in line or "loss is inf" in line
    assert f"{run} holds the last good state, of step 0" in line
    assert "Try a lower --learning-rate" in line
    kept = load(run)
    assert kept.progress["step"] == 0
    assert all(np.isfinite(array).all() for array in kept.weights.values())
    assert not (run / "best").exists()


def test_weights_that_are_no_numbers_are_never_saved(text: Path, tmp_path: Path) -> None:
    """Without validation, one step to infinity is noticed only as the model is to be saved."""
    run = tmp_path / "run"
    flags = ("--learning-rate", "1e300", "--steps", "1", "--validation-fraction", "0")
    line = explode(text, run, *flags)
    assert "step 1: " in line
    assert "is not finite" in line
    assert all(np.isfinite(array).all() for array in load(run).weights.values())
    assert [name for name in contents(run) if ".draft" in name] == []
