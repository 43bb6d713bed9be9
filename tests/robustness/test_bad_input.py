"""Texts, settings and prompts that cannot be used: one line that says why, and nothing touched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from _processes import TINY, Refuse, contents, rondel, the_one_line

import rondel as package

TEXTS = {
    "empty.txt": (b"", ["empty.txt is empty", "give a text"]),
    "one.txt": (b"a", ["one character, 'a'"]),
    "two.txt": (b"ab", ["the train split of this text has 1 token", "give it more text"]),
    "repeated.txt": (b"a" * 30_000, ["one character, 'a'"]),
    "newlines.txt": (b"\n" * 30_000, ["one character, '\\n'"]),
    "binary.dat": (bytes(range(256)) * 100, ["binary.dat is binary", "--level byte"]),
    "latin.txt": (
        "café crème\n".encode("latin-1") * 1000,
        ["latin.txt", "0xe9 at offset 3", "--encoding latin-1"],
    ),
    "wide.txt": ("a flat white\n".encode("utf-16") * 1000, ["wide.txt", "--encoding utf-16"]),
    "cut.gz": (b"\x1f\x8b\x08\x00", ["cut.gz is a damaged or truncated archive", "whole copy"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_cannot_be_learnt(name: str, tmp_path: Path, refuse: Refuse) -> None:
    data, words = TEXTS[name]
    (tmp_path / name).write_bytes(data)
    line = refuse("train", name, "--out", "run", *TINY)
    for word in words:
        assert word in line


SETTINGS = [
    (["--batch-size", "4000"], ["32,001", "lower --batch-size"]),
    (["--validation-fraction", "0.0001"], ["validation split", "raise --validation-fraction"]),
    (["--test-fraction", "0.0001"], ["test split", "raise --test-fraction"]),
    (["--validation-fraction", "0.6", "--test-fraction", "0.5"], ["nothing to train on"]),
    (["--hidden-size", "-1"], ["--hidden-size must be at least 1, not -1"]),
    (["--hidden-size", "99999999999999"], ["out of memory", "lower --hidden-size"]),
    (["--num-layers", "0"], ["--num-layers must be at least 1, not 0"]),
    (["--seq-length", "0"], ["--seq-length must be at least 1, not 0"]),
    (["--steps", "0"], ["--steps must be at least 1, not 0"]),
    (["--seed", "-1"], ["--seed must be at least 0"]),
    (["--seed", "9" * 30], ["--seed must be less than"]),
    (["--learning-rate", "nan"], ["--learning-rate must be a finite number, not nan"]),
    (["--learning-rate", "-1"], ["--learning-rate must be more than 0"]),
    (["--minutes", "inf"], ["--minutes must be a finite number, not inf"]),
    (["--dropout", "1"], ["--dropout must be less than 1"]),
    (["--dropout", "0.5"], ["--backend numpy", "dropout", "--backend torch"]),
    (["--optimizer", "adam"], ["--backend numpy", "optimizer", "--backend torch"]),
    (["--device", "cuda"], ["--backend numpy", "leave --device out"]),
    (["--max-sentence-length", "5"], ["--max-sentence-length", "--level word"]),
    (["--tie-weights", "--embedding-size", "7"], ["--tie-weights", "--embedding-size"]),
    (["--encoding", "utf8000"], ["no text encoding is called 'utf8000'", "try utf-8"]),
    (["--config", "none.toml"], ["none.toml: there is no such settings file"]),
    (["--config", "."], ["Is a directory; name a file in it"]),
    (["--init-from", "nowhere"], ["nowhere: there is no such folder"]),
    (["--init-from", "model", "--hidden-size", "9"], ["--hidden-size is 8", "leave that setting"]),
    (["--word-vectors", "nowhere.bin"], ["nowhere.bin: there is no such file of word vectors"]),
    (["--word-vectors", "vectors.txt", "--level", "char"], ["--level is 'word'", "'char'"]),
    (["--word-vectors", "vectors.txt", "--init-from", "model"], ["leave --word-vectors out"]),
    (["--corpus", "coffee"], ["either a TEXT or a --corpus"]),
]


@pytest.mark.parametrize(("flags", "words"), SETTINGS, ids=[" ".join(f) for f, _ in SETTINGS])
def test_a_setting_that_cannot_be(
    flags: list[str], words: list[str], text: Path, model: Path, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "vectors.txt").write_text("2 3\nthe 1 2 3\ncoffee 3 2 1\n")
    line = refuse("train", text, "--out", "run", *TINY, *flags)
    for word in words:
        assert word in line


CONFIGS = {
    "broken": ("[training\n", ["not a TOML file", "line 1"]),
    "bytes": ("\udcff\udcfe", ["not a TOML file"]),
    "outside a section": ("hidden_size = 8\n", ["'hidden_size'", "text, model, training"]),
    "unknown section": ("[optimiser]\nrate = 1\n", ["'optimiser'", "text, model, training"]),
    "unknown name": ("[model]\nhiden_size = 8\n", ["'hiden_size'", "remove that line"]),
    "wrong type": ('[model]\nhidden_size = "8"\n', ["--hidden-size", "int", "'8'"]),
    "negative": ("[model]\nhidden_size = -8\n", ["--hidden-size", "at least 1"]),
    "nan": ("[training]\nlearning_rate = nan\n", ["--learning-rate", "finite"]),
    "not a choice": ('[training]\nschedule = "weekly"\n', ["--schedule", "one-cycle"]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_settings_file_that_cannot_be(
    name: str, text: Path, tmp_path: Path, refuse: Refuse
) -> None:
    content, words = CONFIGS[name]
    (tmp_path / "my.toml").write_text(content, encoding="utf-8", errors="surrogateescape")
    line = refuse("train", text, "--out", "run", "--config", "my.toml")
    for word in ["my.toml", *words]:
        assert word in line


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_cell_that_is_none(backend: str, text: Path, tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "my.toml").write_text('[model]\ncell = "elman"\n')
    line = refuse("train", text, "--out", "run", *TINY, "--backend", backend, "--config", "my.toml")
    assert "--cell is one of " in line
    assert "lstm" in line


def test_a_missing_text(refuse: Refuse) -> None:
    assert "nowhere.txt: there is no such file" in refuse("train", "nowhere.txt", *TINY)


def test_an_unknown_corpus(refuse: Refuse) -> None:
    line = refuse("train", "--corpus", "tea", "--out", "run", *TINY)
    assert "no corpus is called 'tea'" in line
    assert "coffee" in line


DEVICES = [
    ["train", "/dev/zero", "--out", "run", *TINY],
    ["train", "endless", "--out", "run", *TINY],
    ["train", "text.txt", "--out", "run", "--config", "/dev/zero"],
    ["score", "model", "/dev/zero"],
    ["eval", "model", "/dev/full"],
    ["sample", "model", "--prime-file", "/dev/zero"],
    ["inspect", "model", "text.txt", "--track", "/dev/zero"],
    ["serve", "model", "--api-key", "/dev/zero"],
    ["train", "text.txt", "--out", "run", "--level", "word", "--word-vectors", "/dev/zero"],
]


@pytest.mark.parametrize("command", DEVICES, ids=" ".join)
def test_a_device_without_an_end_is_never_read(
    command: list[str], text: Path, model: Path, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "text.txt").write_bytes(text.read_bytes())
    (tmp_path / "endless").symlink_to("/dev/zero")
    line = refuse(*command)
    assert re.search("which has no end; name a file|there is no (such )?file", line)


def test_a_pipe_is_read_and_a_device_is_not(text: Path, model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rondel", "eval", str(model)]
    for source in ("-", "/dev/stdin"):
        for stdin, status in (("/dev/zero", 1), (str(text), 0)):
            with Path(stdin).open("rb") as file:
                done = subprocess.run([*command, source], stdin=file, capture_output=True)
            assert done.returncode == status, done.stderr
        done = subprocess.run([*command, source], input=text.read_bytes(), capture_output=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["train text.txt --out run", "sample model", "serve model"])
def test_more_threads_than_there_can_be(
    command: str,
    text: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.txt").write_bytes(text.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rondel", *command.split(), "--threads", "9" * 23])
    with pytest.raises(SystemExit) as ended:
        package.cli.main()  # type: ignore[attr-defined]
    assert ended.value.code in (1, 2)
    said = capfd.readouterr().err
    assert "--threads" in said
    assert "Traceback" not in said
    with pytest.raises(package.RondelError, match="threads must be a whole number"):
        package.load(model, threads=10**23)


PLACES = {
    "below a file": ("file.txt/run", ["file.txt/run", "name a place where you may write"]),
    "in /proc": ("/proc/run", ["/proc/run", "name a place where you may write"]),
    "a file": ("file.txt", ["file.txt is there already", "choose another --out"]),
    "a loop": ("loop", ["loop is there already and is no model", "choose another --out"]),
    "a name too long": ("n" * 250, ["cannot be made or locked (File name too long)"]),
    "a folder": ("notes", ["notes is there already and is no model", "choose another --out"]),
    "a model": ("model", ["model holds a model already", "--resume", "--overwrite"]),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_cannot_be_written_to(
    name: str, text: Path, model: Path, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "file.txt").write_text("not a folder")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear diary")
    (tmp_path / "loop").symlink_to("loop")
    place, words = PLACES[name]
    line = refuse("train", text, "--out", place, *TINY)
    for word in words:
        assert word in line


@pytest.mark.parametrize("place", ["file.txt", "notes"])
def test_only_a_model_is_overwritten(
    place: str, text: Path, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "file.txt").write_text("not a folder")
    (tmp_path / "notes").mkdir()
    assert "is no model" in refuse("train", text, "--out", place, "--overwrite", *TINY)


SAMPLES = [
    (["--prime-file", "."], ["--prime-file: . is a folder; name a file in it"]),
    (["--stop", ""], ["stop has an empty string"]),
    (["--temperature", "nan"], ["temperature", "nan"]),
    (["--temperature", "-1"], ["temperature", "at least 0"]),
    (["--top-p", "2"], ["top_p", "at most 1"]),
    (["--top-k", "-1"], ["top_k", "at least 0"]),
    (["--min-p", "nan"], ["min_p", "nan"]),
    (["--repetition-penalty", "0"], ["repetition_penalty", "at least"]),
    (["--length", "0"], ["length", "at least 1"]),
    (["--mode", "beam", "--beam-width", "0"], ["beam_width", "at least 1"]),
    (["--prime", ""], ["nothing to continue", "give a prime"]),
    (["--prime", "a", "--prime-file", "b"], ["give one of --prime, --prime-file and --from-state"]),
    (["--prime-file", "nowhere.txt"], ["nowhere.txt: there is no such file"]),
    (["--prime-file", "empty.txt"], ["empty.txt is empty"]),
]


@pytest.mark.parametrize(("flags", "words"), SAMPLES, ids=[" ".join(f) for f, _ in SAMPLES])
def test_a_sample_that_cannot_be(
    flags: list[str], words: list[str], model: Path, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "empty.txt").touch()
    line = refuse("sample", "model", *flags)
    for word in words:
        assert word in line


TO_EVALUATE = [
    (["empty.txt"], ["empty.txt is empty"]),
    (["one.txt"], ["nothing to score", "at least two"]),
    (["nowhere.txt"], ["nowhere.txt: there is no such file"]),
    (["one.txt", "--split", "train"], ["TEXT", "--split", "not both"]),
    (["--split", "test"], ["no test split"]),
]


@pytest.mark.parametrize(("flags", "words"), TO_EVALUATE, ids=[" ".join(f) for f, _ in TO_EVALUATE])
def test_a_text_that_cannot_be_evaluated(
    flags: list[str], words: list[str], model: Path, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "one.txt").write_text("a")
    line = refuse("eval", "model", *flags)
    for word in words:
        assert word in line


def test_a_prime_of_unknown_characters_is_read_as_unknown(model: Path) -> None:
    done = rondel("sample", model, "--prime", "日本", "-n", "5", "--seed", "1")
    assert done.returncode == 0
    assert "does not know '日' '本'" in the_one_line(done.stderr)
    assert done.stdout.startswith("日本")
    assert len(done.stdout.rstrip("\n")) >= 2 + 4


USAGE = [
    ["train", "--cell", "elman"],
    ["train", "--hidden-size", "many"],
    ["train", "--unheard-of"],
    ["sample", "model", "--mode", "loudly"],
    ["sample", "model", "--count", "0"],
    ["sample"],
    ["dance"],
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_what_no_command_takes_is_a_usage_error(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["rondel", *arguments])
    with pytest.raises(SystemExit) as ended:
        package.cli.main()  # type: ignore[attr-defined]
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert said.startswith("Usage: rondel")
    assert sum(line.startswith("Error: ") for line in said.splitlines()) == 1
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nowhere.txt", "--out", "run"], "nowhere.txt: there is no such file"),
        (["train", "one.txt", "--out", "run"], "one character"),
        (["sample", "nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_a_process_of_its_own_says_the_same(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "one.txt").write_text("a")
    before = contents(tmp_path)
    done = rondel(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert words in the_one_line(done.stderr)
    assert done.stdout == ""
    assert contents(tmp_path) == before
