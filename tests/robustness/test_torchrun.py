"""`torchrun`: a process that dies is started again, and one signal ends all with one save."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from _processes import ENVIRONMENT, HANG
from _runs import rondel

from rondel import load
from rondel.training.callbacks.metrics_file import read_metrics

LONG = (
    *("--hidden-size", "16", "--seq-length", "16", "--batch-size", "4", "--threads", "1"),
    *("--eval-every", "40", "--schedule", "constant", "--sample-every", "0", "--device", "cpu"),
    *("--steps", "1000000"),
)
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1")


def steps(run: Path) -> list[int]:
    return [int(row["step"]) for row in read_metrics(run / "metrics.jsonl")]


def wait_for_step(process: subprocess.Popen[bytes], run: Path, step: int, log: Path) -> None:
    while not any(each > step for each in steps(run)):
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)


def process_of_rank(agent: int, rank: int) -> int:
    """The process that `torchrun` started for a rank."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise AssertionError(children)


def test_a_process_that_dies_is_started_again_and_a_signal_ends_all(
    text: Path, tmp_path: Path
) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    command = [sys.executable, "-m", *TORCHRUN, "-m", "rondel", "train", str(text), *LONG]
    with log.open("wb") as file:
        agent = subprocess.Popen(
            [*command, "--out", str(run)],
            # torch's own launcher warns of this and that.
            env={**ENVIRONMENT, "PYTHONWARNINGS": "default", "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_step(agent, run, 40, log)
        os.kill(process_of_rank(agent.pid, 1), signal.SIGKILL)
        while "resuming from step" not in log.read_text():
            assert agent.poll() is None, log.read_text()
            time.sleep(0.05)
        wait_for_step(agent, run, steps(run)[-1], log)
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=HANG)
    finally:
        agent.kill()

    said = log.read_text()
    (began,) = re.findall(r"^resuming from step ([\d,]+)$", said, re.MULTILINE)
    (ended,) = re.findall(r"^terminated at step ([\d,]+); the latest model is", said, re.MULTILINE)
    end = int(ended.replace(",", ""))
    assert 0 < int(began.replace(",", "")) < end
    assert load(run).progress["step"] == end
    assert steps(run) == sorted(set(steps(run)))
    assert not list(tmp_path.rglob(".*"))
    done = rondel("train", "--resume", run, "--steps", end + 5, "--quiet")
    assert done.exit_code == 0
    assert load(run).progress["step"] == end + 5
