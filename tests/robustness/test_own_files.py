"""What is not rondel's is not rondel's to delete, and what is odd about a run does not end it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from _runs import rondel, train

import rondel as library
from rondel.errors import InputError


@pytest.mark.parametrize(
    "foreign", ["poems.txt", "data/a.txt", "best/a.txt", "tokens/mine/a.bin", "tensorboard/a.txt"]
)
def test_overwrite_spares_what_others_put_there(
    own_run: Path, coffee_file: Path, foreign: str
) -> None:
    place = own_run / foreign
    place.parent.mkdir(exist_ok=True, parents=True)
    place.write_text("mine", encoding="utf-8")
    with pytest.raises(
        InputError, match=re.escape(foreign.removesuffix("/a.txt").removesuffix("/a.bin"))
    ):
        rondel("train", coffee_file, "--out", own_run, "--overwrite", "--steps", "2")
    with pytest.raises(InputError, match="would be lost"):
        library.load(own_run).save(own_run, overwrite=True)
    assert place.read_text(encoding="utf-8") == "mine"
    assert library.load(own_run).sample("The", length=5)


def test_a_dollar_in_a_run_s_name_is_a_dollar(tmp_path: Path, coffee: str) -> None:
    from rondel.training.callbacks.metrics_file import MetricsFile
    from rondel.training.callbacks.plot import LossPlot

    run = train(tmp_path / "a$^{$b", coffee, (LossPlot(), MetricsFile()))
    assert (run.folder / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_s_name_may_be_no_utf_8(tmp_path: Path, coffee: str) -> None:
    from rondel.training.callbacks.metrics_file import MetricsFile
    from rondel.training.callbacks.plot import LossPlot

    run = train(tmp_path / os.fsdecode(b"caf\xe9"), coffee, (LossPlot(), MetricsFile()))
    assert (run.folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    done = subprocess.run(
        [sys.executable, "-m", "rondel", "show", run.folder], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_space_after_a_word_prime_is_no_unknown_word(tmp_path: Path, coffee: str) -> None:
    model = library.load(train(tmp_path / "words", coffee, level="word", embedding_size=16).folder)
    assert model.unknowns("The ") == []
    assert model.unknowns("The zzyzx ") == ["zzyzx"]


def test_an_intact_or_cut_safetensors_file_is_never_called_a_pickle(tmp_path: Path) -> None:
    from rondel.artifact import _refuse_pickle

    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"\x80\x03\0\0\0\0\0\0{")
    _refuse_pickle(file)
