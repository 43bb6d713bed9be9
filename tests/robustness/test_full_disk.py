"""A disk that fills: nothing half-written is left, and what was saved before is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from _processes import ENVIRONMENT, TINY, contents, rondel_without_room, the_one_line
from _processes import rondel as command

import rondel


def test_at_birth_nothing_is_left(text: Path, model: Path, tmp_path: Path) -> None:
    # Room for the descriptions, and for none of the arrays; then for none but the last of them.
    weights = (model / "weights.safetensors").stat().st_size
    snapshot = (model / "resume.safetensors").stat().st_size
    assert 4_000 < weights < snapshot
    before = contents(tmp_path)
    for room in (500, weights - 1, weights + 100):
        done = rondel_without_room(room, "train", text, "--out", tmp_path / "runs" / "new", *TINY)
        assert done.returncode == 1
        line = the_one_line(done.stderr)
        assert f"{tmp_path / 'runs' / 'new'}: File too large; make room and try again" in line
        assert not (tmp_path / "runs").exists()
    assert contents(tmp_path) == before


def test_an_overwritten_model_stays_until_the_new_one_is_whole(
    text: Path, model: Path, tmp_path: Path
) -> None:
    before = contents(tmp_path)
    done = rondel_without_room(9_000, "train", text, "--out", model, "--overwrite", *TINY)
    assert done.returncode == 1
    assert f"{model}: File too large" in the_one_line(done.stderr)
    assert contents(tmp_path) == before


def test_in_the_middle_of_a_run_what_was_saved_is_whole(model: Path, tmp_path: Path) -> None:
    before = {name: np.array(array) for name, array in rondel.load(model).weights.items()}
    done = rondel_without_room(500, "train", "--resume", model, "--steps", "8", "--quiet")
    assert done.returncode == 1
    assert "File too large; make room and try again" in the_one_line(done.stderr)
    for folder in (model, model / "best"):
        weights = rondel.load(folder).weights
        assert all((weights[name] == array).all() for name, array in before.items())
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".draft")]


def test_a_save_cut_short_is_made_up_for(text: Path, model: Path, tmp_path: Path) -> None:
    """The weights fit and the snapshot does not: the run goes on from the snapshot before."""
    snapshot = (model / "resume.safetensors").stat().st_size
    more = ("train", "--resume", model, "--steps", "8", "--quiet")
    # The times in it are a few digits more or less; the weights take a third of it.
    done = rondel_without_room(9 * snapshot // 10, *more)
    assert done.returncode == 1
    assert f"{model / 'resume.safetensors'}: File too large" in the_one_line(done.stderr)
    assert rondel.load(model).progress["step"] == 5
    assert command(*more).returncode == 0
    steps = tmp_path / "undisturbed"
    assert command("train", text, "--out", steps, *TINY).returncode == 0
    assert command("train", "--resume", steps, "--steps", "8", "--quiet").returncode == 0
    for name in ("weights.safetensors", "best/weights.safetensors"):
        one, other = (rondel.load((run / name).parent).weights for run in (model, steps))
        assert all((one[key] == other[key]).all() for key in other)


def test_a_full_device_as_output(model: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rondel", "sample", str(model), "-n", "50"],
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert "No space left on device" in the_one_line(done.stderr)
