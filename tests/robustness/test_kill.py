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
from pathlib import Path

import pytest
from _processes import ENVIRONMENT, HANG
from kills import campaign

# `python tests/robustness/kills.py` kills runs of the other kinds too, and more often.
CAMPAIGNS = {"language model": 4, "numpy": 3, "sentence VAE": 2}


def test_killed_at_any_change_to_the_file_system(text: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("_dies.py")
    done = subprocess.run(
        [sys.executable, str(script), str(text), str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    # A draft's name is drawn anew for each.
    found = json.loads(re.sub(r"\.[0-9a-f]{8}\.draft", ".draft", done.stdout))
    kills = found["train"]
    # Among them the moves that matter: the birth of a run and of its best, and every save.
    for name in (".run.draft", "run/.best.draft"):
        assert kills.count(f"os.rename {name}") == 1
    for name in ("run/.weights.safetensors", "run/.resume.safetensors"):
        assert kills.count(f"write {name}.draft") == kills.count(f"os.rename {name}.draft") == 3
    assert kills.count("os.rename run/best/.weights.safetensors.draft") == 2
    # And the text as it is read: its copy, where its documents begin, the tokens of each part.
    kills = found["prepare"]
    assert kills.count("os.rename .run.draft") == 1
    for name in ("tokens.copy", "tokens/train.bin", "tokens/splits.json", "corpus.json"):
        assert f"write .run.draft/{name}" in kills
    assert "write .run.draft/tokens.copy" in found["train"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_a_text_is_read_leaves_nothing(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rondel", "prepare", "-", "--out", str(tmp_path / "corpus")]
    reading = subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What `nohup` or a shell's & has ignored is ignored by children too.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert reading.stdin is not None
    reading.stdin.write(b"A text that has no end yet. " * 10_000)
    reading.stdin.flush()
    while not list(tmp_path.glob(".corpus.*.draft")):
        assert reading.poll() is None
        time.sleep(0.02)
    reading.send_signal(number)
    _, errors = reading.communicate(timeout=HANG)
    assert reading.returncode in (128 + number, 1)
    assert b"Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "kills"), CAMPAIGNS.items())
def test_killed_at_random_moments_a_run_ends_as_if_it_never_was(
    kind: str, kills: int, text: Path, tmp_path: Path
) -> None:
    campaign(kind, kills, text, tmp_path)
