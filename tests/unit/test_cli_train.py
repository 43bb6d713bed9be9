"""`rondel train`: what it writes and prints, and that a run's settings reproduce it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _runs import rondel

from rondel import artifact
from rondel.artifact import Artifact
from rondel.errors import InputError, RondelError
from rondel.settings.toml import read_run_config

TINY = (
    *("--hidden-size", 16, "--embedding-size", 8, "--batch-size", 4, "--seq-length", 16),
    *("--steps", 20, "--threads", 1, "--device", "cpu"),
)


def assert_same_weights(left: Artifact, right: Artifact) -> None:
    assert left.config == right.config
    assert left.weights.keys() == right.weights.keys()
    for name, array in left.weights.items():
        np.testing.assert_array_equal(right.weights[name], array)


def test_the_settings_of_a_run_make_that_run_again(
    trained: Path, coffee_file: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    done = rondel("train", coffee_file, "--config", trained / "run.toml", "--out", again, "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    assert (again / "run.toml").read_bytes() == (trained / "run.toml").read_bytes()
    for folder in ("", "best"):
        first, second = artifact.load(trained / folder), artifact.load(again / folder)
        assert_same_weights(first, second)
        for figure in ("step", "epoch", "tokens", "train_loss", "val_loss"):
            assert first.progress[figure] == second.progress[figure]
        assert first.excerpts == second.excerpts
    timed = ("seconds", "tokens_per_second")
    curves = [
        [
            {name: value for name, value in json.loads(line).items() if name not in timed}
            for line in (folder / "metrics.jsonl").read_text().splitlines()
        ]
        for folder in (trained, again)
    ]
    assert curves[0] == curves[1]


def test_flags_override_a_settings_file(trained: Path, coffee_file: Path, tmp_path: Path) -> None:
    rondel(
        "train", coffee_file, "--config", trained / "run.toml", "--out", tmp_path / "run",
        "--cell", "gru", "--steps", 3, "--no-tie-weights", "--quiet",
    )  # fmt: skip
    before, after = (
        read_run_config(trained / "run.toml"),
        read_run_config(tmp_path / "run" / "run.toml"),
    )
    assert (after.model.cell, after.training.steps) == ("gru", 3)
    same = {"cell": "lstm", "forget_bias": before.model.own["forget_bias"], "steps": 150}
    assert {**after.flat(), **same} == before.flat()


def test_a_run_prints_its_progress_in_plain_lines(coffee_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = rondel("train", coffee_file, "--out", out, *TINY, "--eval-every", 10)
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert "\r" not in done.output
    lines = done.output.splitlines()
    size = artifact.load(out).tokenizer.vocab_size
    text = len(coffee_file.read_text())
    train = int(round(0.9, 9) * text)
    assert lines[0] == (
        f"coffee: {train:,} train + {text - train:,} validation characters, vocabulary {size}"
    )
    parameters = sum(array.size for array in artifact.load(out).weights.values())
    assert lines[1] == f"lstm 1×16, embedding 8, {parameters:,} parameters, into {out}"
    steps = [line for line in lines if line.startswith("step ")]
    assert len(steps) == 2
    progress = artifact.load(out).progress
    loss = progress["val_loss"]
    assert re.fullmatch(
        rf"step 20 · epoch {progress['epoch']:.2f} · train {progress['train_loss']:.3f} · "
        rf"validation {loss:.3f} \({loss / np.log(2):.3f} bits/character\) · "
        r"[\d,]+ tokens/s · \d+:\d\d  \*",
        steps[-1],
    )
    assert lines[-3:] == [
        f"finished at step 20; the latest model is {out}",
        f"the best by validation is {out / 'best'}, of step 20",
        f"to sample: rondel sample {out / 'best'}",
    ]


def test_samples_are_shown_at_the_given_interval(coffee_file: Path, tmp_path: Path) -> None:
    def output(name: str, *flags: object) -> str:
        done = rondel("train", coffee_file, "--out", tmp_path / name, *TINY, *flags)
        lines = done.output.replace(str(tmp_path / name), "RUN").splitlines()
        return "\n".join(line for line in lines if "tokens/s" not in line)

    none = output("none", "--sample-every", 0, "--eval-every", 10)
    with_validation = output("some", "--eval-every", 10)
    every_five = output("many", "--sample-every", 5, "--eval-every", 20)
    sizes = [len(text) for text in (none, with_validation, every_five)]
    assert sizes[1] - sizes[0] > 2 * 150
    assert sizes[2] - sizes[0] > 4 * 150
    assert output("same", "--eval-every", 10) == with_validation
    # To look on changes nothing of what is learnt.
    models = [artifact.load(tmp_path / name) for name in ("none", "some", "many")]
    for model in models[1:]:
        assert_same_weights(models[0], model)


def test_word_models_print_perplexity_and_unknown_words(coffee_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = rondel("train", coffee_file, "--level", "word", "--out", out, *TINY, "--batch-size", 2)
    loss = artifact.load(out).progress["val_loss"]
    assert f"validation {loss:.3f} (perplexity {np.exp(loss):,.1f})" in done.output
    unknown = re.search(r"^train: (\S+)% of the words read as unknown$", done.output, re.MULTILINE)
    assert unknown
    ids = np.fromfile(out / "tokens" / "train.bin", np.uint16)
    assert float(unknown[1]) == pytest.approx(100 * (ids == 0).mean(), abs=0.06)


def test_a_text_from_standard_input_is_the_text(coffee_file: Path, tmp_path: Path) -> None:
    text = coffee_file.read_text(encoding="utf-8")
    for source, stdin in ((coffee_file, None), ("-", text)):
        out = tmp_path / ("piped" if stdin else "file")
        done = rondel("train", source, "--out", out, *TINY, "--quiet", stdin=stdin)
        assert (done.exit_code, done.output) == (0, "")
    assert_same_weights(artifact.load(tmp_path / "file"), artifact.load(tmp_path / "piped"))


def test_a_corpus_by_name_and_a_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done = rondel("train", "--corpus", "coffee", "--corpus-size", 5000, *TINY, "--quiet")
        assert done.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["coffee", "coffee-2"]
    splits = json.loads((tmp_path / "runs" / "coffee" / "tokens" / "splits.json").read_text())
    assert splits["splits"]["test"]["end"] == pytest.approx(5000, abs=500)
    assert_same_weights(artifact.load(Path("runs/coffee")), artifact.load(Path("runs/coffee-2")))


def test_a_resumed_run_ends_in_the_same_bits(coffee_file: Path, tmp_path: Path) -> None:
    flags = (*TINY, "--dropout", 0.2, "--schedule", "exponential", "--decay-after", 1)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    rondel("train", coffee_file, "--out", whole, *flags, "--eval-every", 10, "--quiet")
    rondel("train", coffee_file, "--out", halves, *flags, "--steps", 10, "--eval-every", 10)
    done = rondel("train", "--resume", halves, "--steps", 20)
    assert "resuming from step 10" in done.output
    assert_same_weights(artifact.load(whole), artifact.load(halves))
    rows = map(json.loads, (halves / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows] == [10, 20]
    with pytest.raises(InputError, match="is complete"):
        rondel("train", "--resume", halves)
    with pytest.raises(InputError, match="leave --out out"):
        rondel("train", "--resume", halves, "--out", whole)
    with pytest.raises(InputError, match="cannot change learning_rate"):
        rondel("train", "--resume", halves, "--learning-rate", 1)


def test_an_existing_folder_is_left_alone(own_run: Path, coffee_file: Path, tmp_path: Path) -> None:
    before = (own_run / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match="--overwrite to replace it"):
        rondel("train", coffee_file, "--out", own_run, *TINY)
    assert (own_run / "weights.safetensors").read_bytes() == before
    assert rondel("train", coffee_file, "--out", own_run, *TINY, "--overwrite").exit_code == 0
    assert artifact.load(own_run).config.hidden_size == 16
    (tmp_path / "thesis").mkdir()
    with pytest.raises(InputError, match="is no model; choose another --out"):
        rondel("train", coffee_file, "--out", tmp_path / "thesis", *TINY, "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.txt",), "none.txt"),
        (("--corpus", "none"), "no corpus is called 'none'"),
        (("x.txt", "--corpus", "coffee"), "either a TEXT or a --corpus, not both"),
        (("--config", "none.toml"), "there is no such settings file"),
        (("--hidden-size", "0"), "--hidden-size must be at least 1"),
        (("--backend", "numpy", "--optimizer", "adam"), "--backend numpy is the plain reference"),
    ],
)
def test_invalid_flags_are_refused_before_anything_is_written(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RondelError, match=re.escape(message)):
        rondel("train", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_numpy_backend_trains_without_torch(coffee_file: Path, tmp_path: Path) -> None:
    """In a separate process where PyTorch cannot be imported, as after a plain install."""
    program = "import sys; sys.modules['torch'] = None; from rondel.cli import main; main()"
    arguments = ["train", coffee_file, "--backend", "numpy", "--out", tmp_path / "run", *TINY]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "finished at step 20" in done.stdout
    assert artifact.load(tmp_path / "run").progress["step"] == 20
